import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import grids, patterns

from oasis import cost
from oasis.attention.masked import pattern_mask
from oasis.grid import Grid
from oasis.routing import FRAME, GLOBAL, Pattern, RoutingTable, window


@settings(max_examples=200, deadline=None)
@given(patterns, grids, st.integers(1, 128))
def test_closed_forms_equal_the_mask(pattern: Pattern, grid: Grid, d: int) -> None:
    mask = pattern_mask(pattern, grid)
    assert cost.attended_pairs(pattern, grid) == int(mask.sum())
    assert cost.attention_flops(pattern, grid, d) == 4 * d * int(mask.sum())
    assert cost.keys_mean(pattern, grid) == pytest.approx(float(mask.sum(1).double().mean()))
    uniform = (grid.tokens / mask.sum(1).double()).log().mean()
    assert cost.uniform_kl(pattern, grid) == pytest.approx(float(uniform), abs=1e-13)


def test_uniform_kl_of_even_patterns_is_the_known_logarithm() -> None:
    grid = Grid(5, 24, 40)
    assert cost.uniform_kl(GLOBAL, grid) == 0
    assert cost.uniform_kl(FRAME, grid) == math.log(5)
    assert cost.uniform_kl(window(8, 8), grid) == pytest.approx(math.log(24 * 40 / 64), abs=1e-15)


def test_a_third_of_each_kind_costs_the_mean_of_the_shares() -> None:
    table = RoutingTable(
        model="m", weights_sha256="0", patterns={"G": GLOBAL, "F": FRAME, "W": window(8, 8)}, layers=("GGFFWW", "WFGWFG")
    )
    grid = Grid(5, 24, 40)
    assert cost.routing_ratio(table, grid) == pytest.approx((1 + 1 / 5 + 64 / 960) / 3, abs=1e-15)
    assert cost.routing_flops(table, grid, 64) == sum(cost.layer_flops(table.layer_patterns(i), grid, 64) for i in range(2))
