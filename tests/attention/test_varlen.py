"""Cells as packed sequences against the mask: a plain loop over sequences here, torch's kernel on a GPU."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import grids, patterns
from torch import Tensor

from oasis.attention import attend
from oasis.attention.cells import cells, divides
from oasis.attention.masked import masked, pattern_mask
from oasis.attention.varlen import packed, packing_of
from oasis.cost import attended_pairs
from oasis.grid import Grid
from oasis.routing import FRAME, GLOBAL, Pattern, window

CPU = torch.device("cpu")
ROUNDING = 200 * 20 * 2.0**-53
ROUTED = [window(3, 4), GLOBAL, FRAME, window(2, 2, shift=True), GLOBAL, window(3, 4)]
dividing = st.one_of(
    st.sampled_from([GLOBAL, FRAME]), st.builds(window, st.integers(1, 8), st.integers(1, 8), shift=st.booleans())
)


def draw_qkv(grid: Grid, heads: int, *, batch: int = 2, d: int = 5) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    shape = (batch, heads, grid.tokens, d)
    return tuple(torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(3))


def one_by_one(q: Tensor, k: Tensor, v: Tensor, bounds: Tensor, longest: int) -> Tensor:
    """Attend inside one sequence after the other."""
    assert bounds.dtype == torch.int32 and bounds[0] == 0 and bounds[-1] == len(q)
    lengths = bounds.diff().tolist()
    assert lengths == sorted(lengths, reverse=True) and lengths[0] == longest and lengths[-1] > 0
    found = []
    for start, stop in itertools.pairwise(bounds.tolist()):
        parts = (x[start:stop].transpose(0, 1) for x in (q, k, v))
        found.append(F.scaled_dot_product_attention(*parts).transpose(0, 1))
    return torch.cat(found)


@given(patterns, grids)
def test_cells_are_the_sets_that_see_each_other(pattern: Pattern, grid: Grid) -> None:
    mask = pattern_mask(pattern, grid)
    if not divides(pattern, grid):
        return
    order, runs = cells(pattern, grid)
    assert sorted(order.tolist()) == list(range(grid.tokens))
    assert [run.start for run in runs] == [0, *itertools.accumulate(run.cells * run.size for run in runs)][:-1]
    assert all(one.size > other.size for one, other in itertools.pairwise(runs))
    found = torch.zeros_like(mask)
    for run in runs:
        for cell in torch.from_numpy(order[run.tokens]).reshape(run.cells, run.size):
            assert cell.tolist() == sorted(cell.tolist())
            found[cell[:, None], cell] = True
    assert torch.equal(found, mask)
    assert sum(run.cells * run.size**2 for run in runs) == attended_pairs(pattern, grid)


def test_patterns_that_slide_divide_nothing() -> None:
    grid = Grid(3, 5, 7)
    assert all(divides(pattern, grid) for pattern in ROUTED)
    for pattern in (Pattern(kind="neighbour", frames=1), Pattern(kind="sliding", radius=(0, 1))):
        assert not divides(pattern, grid)
        with pytest.raises(ValueError, match=f"'varlen' takes patterns that divide the grid into cells, not {pattern.name}"):
            packed(one_by_one, *draw_qkv(grid, 2), [GLOBAL, pattern], grid)


@settings(max_examples=60)
@given(st.lists(dividing, min_size=1, max_size=4), grids)
def test_packed_cells_equal_the_mask_forward_and_backward(heads: list[Pattern], grid: Grid) -> None:
    found = []
    for path in (masked, lambda *arguments: packed(one_by_one, *arguments)):
        q, k, v = (x.requires_grad_() for x in draw_qkv(grid, len(heads)))
        out = path(q, k, v, heads, grid)
        weight = torch.linspace(-1, 1, out.numel(), dtype=torch.float64).reshape(out.shape)
        found.append([out, *torch.autograd.grad((out * weight).sum(), (q, k, v))])
    for expected, actual in zip(*found, strict=True):
        torch.testing.assert_close(actual, expected, rtol=ROUNDING, atol=ROUNDING)


def test_all_cells_of_a_layer_are_one_call_and_global_heads_none() -> None:
    grid, calls = Grid(2, 5, 7), []

    def counted(*arguments):
        calls.append(len(arguments[0]))
        return one_by_one(*arguments)

    packed(counted, *draw_qkv(grid, len(ROUTED)), ROUTED, grid)
    packed(counted, *draw_qkv(grid, 2), [GLOBAL, GLOBAL], grid)
    assert calls == [2 * 4 * grid.tokens]
    first = packing_of(tuple(ROUTED), grid, 2, CPU)
    assert packing_of(tuple(ROUTED), grid, 2, CPU) is first


def test_it_runs_nowhere_but_on_cuda_in_16_bits() -> None:
    grid = Grid(1, 2, 2)
    with pytest.raises(ValueError, match="runs on CUDA in bfloat16 and float16, and this is float64 on cpu"):
        attend(*draw_qkv(grid, 2), [GLOBAL, FRAME], grid, backend="varlen")


def test_text_tokens_are_refused() -> None:
    grid = Grid(1, 2, 2)
    qkv = (torch.zeros(1, 2, 7, 8, dtype=torch.bfloat16),) * 3
    with pytest.raises(ValueError, match="no patterns with text tokens; use 'folded'"):
        attend(*qkv, [Pattern(kind="global", text=3), Pattern(kind="frame", text=3)], grid, backend="varlen")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("grid", [Grid(3, 9, 14), Grid(2, 33, 17)])
def test_the_kernel_equals_the_mask_forward_and_backward_on_cuda(grid: Grid, dtype: torch.dtype) -> None:
    exact = [x.cuda() for x in draw_qkv(grid, len(ROUTED), d=64)]
    found = []
    for backend, numbers in (("masked", torch.float64), ("varlen", dtype)):
        q, k, v = (x.to(dtype).to(numbers).requires_grad_() for x in exact)
        out = attend(q, k, v, ROUTED, grid, backend=backend)
        weight = torch.linspace(-1, 1, out.numel(), device="cuda", dtype=torch.float64).reshape(out.shape)
        found.append([out, *torch.autograd.grad((out * weight.to(numbers)).sum(), (q, k, v))])
    for expected, actual in zip(*found, strict=True):
        torch.testing.assert_close(actual.double(), expected, rtol=0, atol=16 * torch.finfo(dtype).eps * expected.abs().max())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_cuda_a_width_that_no_kernel_takes_is_refused() -> None:
    q, k, v = (x.to("cuda", torch.bfloat16) for x in draw_qkv(Grid(1, 2, 2), 1, d=12))
    with pytest.raises(ValueError, match="a multiple of 8, got 12"):
        attend(q, k, v, [FRAME], Grid(1, 2, 2), backend="varlen")
