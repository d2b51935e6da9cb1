"""Tokens in the order of a window's cells: attention is the mask's, and a whole network does not notice the order."""

import pytest
import torch
import torch.distributed
from hypothesis import given, settings
from hypothesis import strategies as st
from little import network
from strategies import grids, patterns
from torch import Tensor

from oasis.attention.masked import masked
from oasis.attention.ordered import ordered, places, window_of
from oasis.grid import Grid
from oasis.model import context, route
from oasis.model.ordering import Ordered, attend_by
from oasis.routing import FRAME, GLOBAL, Pattern, RoutingTable, window

CPU = torch.device("cpu")
ROUNDING = 200 * 20 * 2.0**-53
windows = st.builds(window, st.integers(1, 8), st.integers(1, 8), shift=st.booleans())


def draw_qkv(grid: Grid, heads: int, *, d: int = 5) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn((2, heads, grid.tokens, d), generator=generator, dtype=torch.float64) for _ in range(3))


def in_order(*arguments: object) -> Tensor:
    """Take tokens frame by frame, attend in the order of a window's cells, and return them frame by frame."""
    q, k, v, heads, grid, by = arguments
    order, back = places(by, grid, CPU)
    return ordered(*(x[:, :, order] for x in (q, k, v)), heads, grid, by)[:, :, back]


@settings(max_examples=80)
@given(st.lists(patterns, min_size=1, max_size=3), windows, st.integers(0, 3), grids)
def test_attention_in_order_equals_the_mask_forward_and_backward(
    heads: list[Pattern], by: Pattern, place: int, grid: Grid
) -> None:
    heads.insert(place, by)
    found = []
    for path in (lambda *arguments: masked(*arguments[:-1]), in_order):
        q, k, v = (x.requires_grad_() for x in draw_qkv(grid, len(heads)))
        out = path(q, k, v, heads, grid, by)
        weight = torch.linspace(-1, 1, out.numel(), dtype=torch.float64).reshape(out.shape)
        found.append([out, *torch.autograd.grad((out * weight).sum(), (q, k, v))])
    for expected, actual in zip(*found, strict=True):
        torch.testing.assert_close(actual, expected, rtol=ROUNDING, atol=ROUNDING)


def test_heads_of_the_window_are_not_copied() -> None:
    grid, by, seen = Grid(3, 6, 9), window(4, 3), []
    q, k, v = draw_qkv(grid, 2)
    attention = torch.nn.functional.scaled_dot_product_attention

    def watching(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        seen.extend(x.untyped_storage().data_ptr() for x in (q, k, v))
        return attention(q, k, v)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(torch.nn.functional, "scaled_dot_product_attention", watching)
        ordered(q[:1], k[:1], v[:1], [by, by], grid, by)
    assert seen == 2 * [x.untyped_storage().data_ptr() for x in (q, k, v)]  # cells of 12x3 and of 6x3 tokens


TABLE = RoutingTable(
    model="little",
    weights_sha256="",
    patterns={"G": GLOBAL, "F": FRAME, "W": window(2, 3), "N": Pattern(kind="neighbour", frames=1)},
    layers=("GFWN", "WWGF"),
)


@pytest.mark.parametrize("size", [(5, 10, 14), (1, 7, 9), (9, 4, 6)])
def test_a_network_does_not_notice_the_order(size: tuple[int, int, int]) -> None:
    model = network(layers=2, heads=4).requires_grad_(False).double()
    route(model, TABLE, None)
    lq = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 - 1
    expected = model(lq)
    assert attend_by(model, "ordered") is model and model.dit.backend == "ordered"
    assert isinstance(model.dit.tokens_of(Grid(1, 2, 3), CPU), Ordered)
    torch.testing.assert_close(model(lq), expected, rtol=0, atol=1e-10)


def test_gradients_reach_the_weights_in_either_order() -> None:
    found = []
    for backend in ("folded", "ordered"):
        model = network(layers=2, heads=4).double()
        route(model, TABLE, None)
        attend_by(model, backend)
        lq = torch.rand(1, 3, 5, 8, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 - 1
        model.latents(lq).square().mean().backward()
        found.append([parameter.grad for parameter in model.dit.parameters()])
    for expected, actual in zip(*found, strict=True):
        if expected is not None:
            torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-12)


def test_one_window_is_needed_and_what_reads_raster_order_is_refused() -> None:
    assert window_of([GLOBAL, window(2, 3), FRAME, window(2, 3)]) == window(2, 3)
    with pytest.raises(ValueError, match="needs one window for all window heads; this routing has none"):
        attend_by(network(), "ordered")
    with pytest.raises(ValueError, match="this routing has window-2x3, window-2x3-shift"):
        window_of([window(2, 3), window(2, 3, shift=True)])
    model = network(layers=2, heads=4)
    route(model, TABLE, None)
    attend_by(model, "ordered")
    with pytest.raises(ValueError, match="a probe needs all tokens of a clip on one process in their usual order"):
        model.latents(torch.zeros(1, 3, 1, 2, 2), probe=lambda *_: None)
    model.dit.backend = "folded"
    with pytest.raises(ValueError, match="'folded' does not know this order of tokens; allowed: ordered"):
        model.latents(torch.zeros(1, 3, 1, 2, 2))
    with pytest.raises(ValueError, match="allowed: other backends than 'ordered'"):
        context.spread(model, torch.distributed.ProcessGroup(0, 1))
