"""What backends multiply, counted from shapes, against what they really do."""

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import grids, patterns
from torch import Tensor

from oasis import cost
from oasis.attention.flex import block_mask
from oasis.attention.folded import fold
from oasis.attention.masked import pattern_mask
from oasis.cost.executed import Rectangle, padded_pairs
from oasis.grid import Grid
from oasis.routing import FRAME, GLOBAL, Pattern, window

CPU = torch.device("cpu")
larger = st.builds(Grid, st.integers(1, 5), st.integers(1, 13), st.integers(1, 13))


def calls_made(pattern: Pattern, grid: Grid) -> Counter[Rectangle]:
    """Run `fold` and write down every dense attention that it asks for, cells of a batch counted each."""
    made: Counter[Rectangle] = Counter()

    def inner(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> tuple[Tensor]:
        made[Rectangle(q.shape[2], k.shape[2])] += q.shape[0]
        return (q,)

    x = torch.zeros(1, 1, grid.tokens, 2)
    fold(inner, x, x, x, pattern, grid)
    return made


@settings(max_examples=200, deadline=None)
@given(patterns, grids, st.integers(1, 9), st.integers(1, 9))
def test_folded_executes_the_rectangles_that_it_is_counted_for(pattern: Pattern, grid: Grid, rows: int, keys: int) -> None:
    made = calls_made(pattern, grid)
    assert cost.folded_calls(pattern, grid) == made
    assert cost.executed_pairs(pattern, grid, "folded") == sum(call.queries * call.keys * n for call, n in made.items())
    tiles = sum(-(-call.queries // rows) * -(-call.keys // keys) * n for call, n in made.items())
    assert cost.executed_pairs(pattern, grid, "folded", cost.Tile(rows, keys)) == tiles * rows * keys


@settings(max_examples=200, deadline=None)
@given(patterns, larger)
def test_flex_visits_the_blocks_that_hold_an_allowed_pair(pattern: Pattern, grid: Grid) -> None:
    mask = pattern_mask(pattern, grid)
    count = -(-grid.tokens // cost.BLOCK)
    padded = torch.zeros(count * cost.BLOCK, count * cost.BLOCK, dtype=torch.bool)
    padded[: grid.tokens, : grid.tokens] = mask
    needed = int(padded.unflatten(0, (count, -1)).unflatten(2, (count, -1)).any(dim=3).any(dim=1).sum())
    assert cost.flex_blocks(pattern, grid) == needed
    listed = block_mask((pattern,), grid, CPU)
    assert listed.full_kv_num_blocks is not None
    assert needed == int(listed.kv_num_blocks.sum()) + int(listed.full_kv_num_blocks.sum())
    assert cost.executed_pairs(pattern, grid, "flex") == needed * 128 * 128


@settings(max_examples=200, deadline=None)
@given(patterns, grids)
def test_no_backend_executes_less_than_is_useful(pattern: Pattern, grid: Grid) -> None:
    useful = cost.attended_pairs(pattern, grid)
    assert useful <= cost.executed_pairs(pattern, grid, "folded") <= cost.executed_pairs(pattern, grid, "masked")
    assert useful <= cost.executed_pairs(pattern, grid, "flex")
    assert cost.executed_pairs(pattern, grid, "masked") == pattern_mask(pattern, grid).numel()


def test_folded_wastes_nothing_but_the_columns_of_sliding_patterns() -> None:
    grid = Grid(3, 11, 13)
    for pattern in (GLOBAL, FRAME, window(4, 5), window(4, 5, shift=True), Pattern(kind="neighbour", frames=1)):
        assert cost.executed_pairs(pattern, grid, "folded") == cost.attended_pairs(pattern, grid)
        assert cost.executed_pairs(pattern, grid, "varlen") == cost.attended_pairs(pattern, grid)
    sliding = Pattern(kind="sliding", radius=(1, 2))
    assert cost.executed_pairs(sliding, grid, "folded") == 9 * (2 * 2 + 9 * 3) * 13 * 13 > cost.attended_pairs(sliding, grid)


def test_a_window_of_eight_fills_a_fraction_of_the_blocks_that_flex_visits_for_it() -> None:
    grid = Grid(9, 45, 80)  # 33 frames of 720x1280 in the full-size model
    useful = cost.attended_pairs(window(8, 8), grid)
    assert 13 < cost.executed_pairs(window(8, 8), grid, "flex") / useful < 14
    assert cost.executed_pairs(window(8, 8), grid, "folded") == useful


def test_tiles_pad_both_sides() -> None:
    assert padded_pairs(Rectangle(65, 3), cost.Tile(64, 32)) == 128 * 32
    assert padded_pairs(Rectangle(65, 3), cost.EXACT) == 65 * 3


def test_an_unknown_backend_is_refused() -> None:
    with pytest.raises(ValueError, match="'fast' is unknown; allowed: folded, flex, masked"):
        cost.executed_pairs(FRAME, Grid(1, 2, 2), "fast")  # type: ignore[arg-type]
