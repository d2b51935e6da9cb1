"""What other counters get right, and what they get wrong: by how much is pinned here and told in oasis/cost/README.md."""

import math
from typing import Any

import pytest
import torch
from fvcore.nn import FlopCountAnalysis
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from oasis import cost
from oasis.attention import attend
from oasis.configs import TINY
from oasis.grid import Grid
from oasis.model import build
from oasis.routing import FRAME, GLOBAL, Pattern, window

GRID, D, SIZE = Grid(2, 6, 7), 8, (5, 16, 16)
PATTERNS = [GLOBAL, FRAME, window(4, 4), Pattern(kind="sliding", radius=(1, 1))]
DENSE = 4 * D * len(PATTERNS) * GRID.tokens**2
USEFUL = cost.layer_flops(PATTERNS, GRID, D)


class Attention(nn.Module):
    def __init__(self, backend: str) -> None:
        super().__init__()
        self.backend = backend

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attend(q, k, v, PATTERNS, GRID, backend=self.backend)


def multiply_adds(inputs: list[Any], outputs: list[Any]) -> int:
    (*batch, n, d), (*_, m, _) = (each.type().sizes() for each in inputs[:2])
    return 2 * math.prod(batch) * n * m * d


@pytest.fixture
def qkv() -> tuple[Tensor, ...]:
    return tuple(torch.randn(1, len(PATTERNS), GRID.tokens, D) for _ in range(3))


def fvcore(model: nn.Module, inputs: tuple[Tensor, ...], *, handle: bool) -> FlopCountAnalysis:
    analysis = FlopCountAnalysis(model, inputs).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    return analysis.set_op_handle("aten::scaled_dot_product_attention", multiply_adds) if handle else analysis


def test_fvcore_with_a_handle_counts_half_of_ours_and_norms() -> None:
    model = build(TINY).requires_grad_(False)
    model.fold_constants()
    lq = torch.zeros(1, 3, *SIZE)
    ours = cost.levels(cost.operations(TINY, SIZE))
    whole = ours[cost.Level("total")].executed
    found = fvcore(model, (lq,), handle=True).by_operator()
    norms = found.pop("layer_norm")
    assert norms > 0  # elementwise: not counted here
    assert 2 * found.total() == whole
    part = cost.Level("dit", "self-attention scores and values")
    other = cost.Level("dit", "cross-attention scores and values")
    attention = ours[part].executed + ours[other].executed
    assert 2 * found["scaled_dot_product_attention"] == attention
    assert "scaled_dot_product_attention" not in fvcore(model, (lq,), handle=False).by_operator()


def test_fvcore_without_a_handle_counts_no_attention_at_all(qkv: tuple[Tensor, ...]) -> None:
    assert fvcore(Attention("folded"), qkv, handle=False).total() == 0
    executed = sum(4 * D * cost.executed_pairs(pattern, GRID, "folded") for pattern in PATTERNS)
    assert 2 * fvcore(Attention("folded"), qkv, handle=True).total() == executed


def test_fvcore_rounds_the_products_of_the_masked_attention(qkv: tuple[Tensor, ...]) -> None:
    found = 2 * fvcore(Attention("masked"), qkv, handle=False).total()  # it reads four digits of what einsum_path prints
    assert found != DENSE and found == pytest.approx(DENSE, rel=1e-3)


def test_torch_counts_a_mask_as_dense(qkv: tuple[Tensor, ...]) -> None:
    q, k, v = qkv
    mask = torch.zeros(GRID.tokens, GRID.tokens, dtype=torch.bool)
    mask.fill_diagonal_(True)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    assert counter.get_total_flops() == DENSE
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        attend(q, k, v, PATTERNS, GRID, backend="masked")
    assert counter.get_total_flops() == DENSE > 2 * USEFUL


def test_torch_counts_what_folded_attention_executes_which_is_more_than_useful(qkv: tuple[Tensor, ...]) -> None:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        attend(*qkv, PATTERNS, GRID)
    executed = sum(4 * D * cost.executed_pairs(pattern, GRID, "folded") for pattern in PATTERNS)
    assert USEFUL < counter.get_total_flops() == executed < DENSE


def test_torch_cannot_count_compiled_flex_attention(qkv: tuple[Tensor, ...]) -> None:
    with torch.no_grad(), FlopCounterMode(display=False), pytest.raises(RuntimeError, match="dispatch mode"):
        attend(*qkv, PATTERNS, GRID, backend="flex")
