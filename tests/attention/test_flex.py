import os
import shutil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import patterns
from torch import Tensor

from oasis.attention import attend
from oasis.attention.flex import BLOCK, block_mask
from oasis.attention.masked import pattern_mask
from oasis.grid import Grid
from oasis.routing import FRAME, GLOBAL, Pattern, window

CPU = torch.device("cpu")
MIXED = [GLOBAL, FRAME, window(3, 4), window(3, 4, shift=True), Pattern(kind="neighbour", frames=1)]
MIXED += [Pattern(kind="sliding", radius=(1, 2))]


def listed(count: Tensor, index: Tensor) -> Tensor:
    """Which blocks a list names, "heads rows columns"."""
    columns = torch.arange(index.shape[-1])
    named = torch.zeros(index.shape, dtype=torch.int)
    return named.scatter_(-1, index.long(), (columns < count[..., None]).int()).bool()[0]


@settings(max_examples=20, deadline=None)
@given(st.lists(patterns, min_size=1, max_size=3), st.builds(Grid, st.integers(1, 4), st.integers(5, 9), st.integers(5, 9)))
def test_blocks_and_rule_together_are_the_mask(head_patterns: list[Pattern], grid: Grid) -> None:
    found = block_mask(tuple(head_patterns), grid, CPU)
    assert found.full_kv_num_blocks is not None and found.full_kv_indices is not None
    partial, full = listed(found.kv_num_blocks, found.kv_indices), listed(found.full_kv_num_blocks, found.full_kv_indices)
    assert not (partial & full).any()
    token = torch.arange(grid.tokens)
    for head, pattern in enumerate(head_patterns):
        rule = found.mask_mod(torch.tensor(0), torch.tensor(head), token[:, None], token[None, :])
        dense = (partial | full)[head][token[:, None] // BLOCK, token[None, :] // BLOCK]
        only = full[head][token[:, None] // BLOCK, token[None, :] // BLOCK]
        assert torch.equal((dense & rule) | only, pattern_mask(pattern, grid))
        assert torch.equal(dense & rule, rule)


def test_full_blocks_skip_the_rule_where_windows_fill_blocks() -> None:
    found = block_mask((FRAME,), Grid(3, 16, 16), CPU)
    assert int(found.kv_num_blocks.sum()) == 0
    assert found.full_kv_num_blocks is not None and int(found.full_kv_num_blocks.sum()) == 3 * 2 * 2


@pytest.mark.skipif(shutil.which(os.environ.get("CXX", "g++")) is None, reason="needs a C++ compiler")
def test_compiled_kernel_equals_the_mask_for_all_kinds_at_once() -> None:
    grid = Grid(3, 7, 9)
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, len(MIXED), grid.tokens, 24, generator=generator) for _ in range(3))
    expected = attend(*(x.double() for x in (q, k, v)), MIXED, grid, backend="masked")
    # float32 sums of 189 products
    torch.testing.assert_close(attend(q, k, v, MIXED, grid, backend="flex").double(), expected, rtol=0, atol=189 * 2.0**-24)


def test_what_cannot_run_raises() -> None:
    grid = Grid(1, 2, 2)
    q = torch.zeros(1, 1, 4, 8)
    with pytest.raises(ValueError, match="no gradients on the CPU"):
        attend(q.clone().requires_grad_(), q, q, [FRAME], grid, backend="flex")
    with pytest.raises(ValueError, match="float64"):
        attend(q.double(), q.double(), q.double(), [FRAME], grid, backend="flex")
