"""Every fast path against the mask, on small ragged grids, in float64, forward and backward."""

import pytest
import torch
from einops import rearrange
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import grids, patterns
from torch import Tensor

from oasis.attention import BACKENDS, attend, groups
from oasis.attention.masked import masked, pattern_mask
from oasis.grid import Grid
from oasis.routing import FRAME, GLOBAL, Pattern, window

# Sums of at most 200 products of numbers near one: 200 roundings of 2^-53, with a factor of 20 for the softmax.
ROUNDING = 200 * 20 * 2.0**-53
heads_patterns = st.lists(patterns, min_size=1, max_size=4)
quick = settings(max_examples=60, deadline=None)


def draw_qkv(grid: Grid, heads: int, batch: int = 2, d: int = 5, *, seed: int = 0) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, heads, grid.tokens, d)
    return tuple(torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(3))


def allowed(pattern: Pattern, query: tuple[int, int, int], key: tuple[int, int, int]) -> bool:
    """ASR's key sets, one pair at a time."""
    (t, y, x), (u, r, c) = query, key
    if pattern.kind == "window":
        assert pattern.size is not None
        (a, b), (i, j) = pattern.size, pattern.shifts
        return (y + i) // a == (r + i) // a and (x + j) // b == (c + j) // b
    if pattern.kind == "sliding":
        assert pattern.radius is not None
        return abs(y - r) <= pattern.radius[0] and abs(x - c) <= pattern.radius[1]
    reach = {"global": 99, "frame": 0, "neighbour": pattern.frames}[pattern.kind]
    assert reach is not None
    return abs(t - u) <= reach


@settings(max_examples=25, deadline=None)
@given(patterns, st.builds(Grid, st.integers(1, 3), st.integers(1, 4), st.integers(1, 4)))
def test_mask_is_the_definition_pair_by_pair(pattern: Pattern, grid: Grid) -> None:
    places = [(t, y, x) for t in range(grid.t) for y in range(grid.h) for x in range(grid.w)]
    expected = torch.tensor([[allowed(pattern, query, key) for key in places] for query in places])
    assert torch.equal(pattern_mask(pattern, grid), expected)


@quick
@given(heads_patterns, grids)
def test_folded_equals_the_mask_forward_and_backward(head_patterns: list[Pattern], grid: Grid) -> None:
    found = []
    for backend in ("masked", "folded"):
        q, k, v = (x.requires_grad_() for x in draw_qkv(grid, len(head_patterns)))
        out = attend(q, k, v, head_patterns, grid, backend=backend)
        weight = torch.linspace(-1, 1, out.numel(), dtype=torch.float64).reshape(out.shape)
        found.append([out, *torch.autograd.grad((out * weight).sum(), (q, k, v))])
    for expected, actual in zip(*found, strict=True):
        torch.testing.assert_close(actual, expected, rtol=ROUNDING, atol=ROUNDING)


@quick
@given(heads_patterns, grids)
def test_a_change_outside_the_key_set_changes_nothing(head_patterns: list[Pattern], grid: Grid) -> None:
    q, k, v = draw_qkv(grid, len(head_patterns), batch=1)
    before = attend(q, k, v, head_patterns, grid)
    key = grid.tokens // 2
    k[:, :, key], v[:, :, key] = 3.0, 1e6
    changed = (attend(q, k, v, head_patterns, grid) != before).any(dim=-1)[0]
    sees = torch.stack([pattern_mask(pattern, grid)[:, key] for pattern in head_patterns])
    assert not (changed & ~sees).any()
    assert changed[sees].all()


@pytest.mark.parametrize("backend", ["masked", "folded"])
def test_clips_of_a_batch_do_not_mix_and_heads_may_be_permuted(backend: str) -> None:
    grid = Grid(3, 5, 7)
    chosen = [GLOBAL, window(2, 3), window(2, 3), FRAME, window(4, 4, shift=True), GLOBAL]
    q, k, v = draw_qkv(grid, len(chosen))
    out = attend(q, k, v, chosen, grid, backend=backend)
    alone = torch.cat([attend(q[[i]], k[[i]], v[[i]], chosen, grid, backend=backend) for i in range(2)])
    torch.testing.assert_close(out, alone, rtol=ROUNDING, atol=ROUNDING)
    order = [4, 1, 0, 5, 3, 2]
    permuted = attend(q[:, order], k[:, order], v[:, order], [chosen[i] for i in order], grid, backend=backend)
    torch.testing.assert_close(permuted, out[:, order], rtol=ROUNDING, atol=ROUNDING)


def test_layout_of_a_projection_is_taken_as_it_is() -> None:
    grid = Grid(2, 3, 5)
    q, k, v = (rearrange(x, "b heads n d -> b n (heads d)") for x in draw_qkv(grid, 3))
    q, k, v = (rearrange(x.contiguous(), "b n (heads d) -> b heads n d", heads=3) for x in (q, k, v))
    chosen = [FRAME, GLOBAL, window(2, 2)]
    expected = masked(q, k, v, chosen, grid)
    torch.testing.assert_close(attend(q, k, v, chosen, grid), expected, rtol=ROUNDING, atol=ROUNDING)


def test_patterns_that_see_every_key_are_dense_attention() -> None:
    grid = Grid(1, 4, 6)
    q, k, v = draw_qkv(grid, 3)
    expected = attend(q, k, v, [GLOBAL] * 3, grid)
    actual = attend(q, k, v, [FRAME, window(9, 9), Pattern(kind="neighbour", frames=3)], grid)
    torch.testing.assert_close(actual, expected, rtol=ROUNDING, atol=ROUNDING)


def test_groups_are_the_runs_of_equal_neighbours() -> None:
    chosen = [GLOBAL, GLOBAL, FRAME, GLOBAL]
    assert groups(chosen) == [(GLOBAL, slice(0, 2)), (FRAME, slice(2, 3)), (GLOBAL, slice(3, 4))]


def test_requests_that_do_not_fit_are_refused_by_name() -> None:
    grid = Grid(1, 2, 2)
    q, k, v = draw_qkv(grid, 2)
    with pytest.raises(ValueError, match=f"'dense' is unknown; allowed: {', '.join(BACKENDS)}"):
        attend(q, k, v, [GLOBAL, FRAME], grid, backend="dense")
    with pytest.raises(ValueError, match="2 heads but 1 patterns"):
        attend(q, k, v, [GLOBAL], grid)
    with pytest.raises(ValueError, match="4 tokens but the grid 1x2x3 has 6"):
        attend(q, k, v, [GLOBAL, FRAME], Grid(1, 2, 3))
