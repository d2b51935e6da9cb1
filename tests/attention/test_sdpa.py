"""Dense backends by name: the fastest, and the one that folded attention prefers for a pattern."""

from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from strategies import grids, patterns
from torch import Tensor

from oasis.attention import attend, choice, sdpa
from oasis.grid import Grid
from oasis.routing import FRAME, GLOBAL, Pattern, window

GRID = Grid(2, 5, 7)


def test_the_processor_has_one_dense_backend() -> None:
    q, k, v = torch.randn(3, 1, 2, 16, 8)
    assert sdpa.fastest(q, k, v) == (sdpa.PLAIN, {})
    expected = F.scaled_dot_product_attention(q, k, v)
    for context in (sdpa.only(sdpa.PLAIN), sdpa.preferring(sdpa.PLAIN)):
        with context:
            assert torch.equal(F.scaled_dot_product_attention(q, k, v), expected)


def test_the_least_median_of_rounds_in_turn_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([5.0, 3.0, 1.0, 9.0, 4.0, 3.5])  # flash and cudnn in turn: medians 4 and 3.5, means 3.3 and 5.2
    monkeypatch.setattr(sdpa, "available", lambda *_: ["sdpa-flash", "sdpa-cudnn"])
    monkeypatch.setattr(sdpa, "_seconds", lambda function, device: next(clock))
    q, k, v = torch.randn(3, 1, 2, 16, 8)
    assert sdpa.fastest(q, k, v, rounds=3) == ("sdpa-cudnn", {"sdpa-flash": 4.0, "sdpa-cudnn": 3.5})


def test_every_group_of_heads_prefers_the_backend_of_its_pattern(monkeypatch: pytest.MonkeyPatch) -> None:
    preferred = []
    monkeypatch.setattr(sdpa, "preferring", lambda name: preferred.append(name) or nullcontext())
    q, k, v = torch.randn(3, 1, 4, GRID.tokens, 8)
    heads = [GLOBAL, FRAME, FRAME, window(2, 2)]
    with sdpa.using({GLOBAL: "sdpa-flash", FRAME: "sdpa-math"}):
        with sdpa.using({FRAME: "sdpa-cudnn", window(2, 2): "sdpa-efficient"}):
            attend(q, k, v, heads, GRID)
        assert preferred == ["sdpa-cudnn", "sdpa-efficient"]
        attend(q, k, v, heads, GRID)
    attend(q, k, v, heads, GRID)
    assert preferred == ["sdpa-cudnn", "sdpa-efficient", "sdpa-flash", "sdpa-math"]


def test_a_preferred_backend_changes_nothing_but_rounding() -> None:
    q, k, v = torch.randn(3, 1, 3, GRID.tokens, 8, dtype=torch.float64)
    heads = [GLOBAL, FRAME, window(2, 3)]
    with sdpa.using(dict.fromkeys(heads, "sdpa-math")):
        found = attend(q, k, v, heads, GRID)
    torch.testing.assert_close(found, attend(q, k, v, heads, GRID, backend="masked"), rtol=1e-12, atol=1e-12)


@given(patterns, grids)
def test_what_is_timed_is_the_call_with_most_pairs_as_attention_makes_it(pattern: Pattern, grid: Grid) -> None:
    calls = []
    attention = F.scaled_dot_product_attention

    def watching(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None) -> Tensor:
        calls.append((tuple((x.shape, x.stride()) for x in (q, k, v)), attn_mask, len(q) * q.shape[2] * k.shape[2]))
        return attention(q, k, v, attn_mask=attn_mask)

    tokens = torch.randn(3, 1, grid.tokens, 3, 4, dtype=torch.float64).transpose(2, 3)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(F, "scaled_dot_product_attention", watching)
        attend(*tokens, [pattern] * 3, grid)
    q, k, v, mask = choice.costliest(pattern, grid, 3, 4, torch.zeros(1, dtype=torch.float64))
    layouts, masks, pairs = zip(*calls, strict=True)
    here = pairs.index(max(pairs))
    assert layouts[here] == tuple((x.shape, x.stride()) for x in (q, k, v)) and q.dtype == torch.float64
    assert mask is None if masks[here] is None else torch.equal(mask, masks[here])


def test_on_the_processor_nothing_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sdpa, "fastest", lambda *_: pytest.fail("timed"))
    found = choice.choose([[GLOBAL, GLOBAL, FRAME], [window(2, 2)] * 3], GRID, 8, torch.zeros(1))
    assert found == {GLOBAL: "sdpa", FRAME: "sdpa", window(2, 2): "sdpa"}


def test_the_usual_number_of_heads_is_timed() -> None:
    layers = [[GLOBAL] * 4, [GLOBAL] * 3 + [FRAME], [GLOBAL] * 3 + [FRAME] * 2, [window(2, 2)] * 2 + [GLOBAL, window(2, 2)]]
    assert choice.usual(layers) == {GLOBAL: 3, FRAME: 2, window(2, 2): 2}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_every_dense_backend_that_is_named_runs_and_the_fastest_is_one_of_them() -> None:
    q, k, v = torch.randn(3, 1, 4, 512, 64, device="cuda", dtype=torch.bfloat16)
    name, seconds = sdpa.fastest(q, k, v)
    assert len(seconds) > 1 and min(seconds, key=seconds.__getitem__) == name and "sdpa-math" not in seconds
    for each in seconds:
        with sdpa.only(each):
            assert F.scaled_dot_product_attention(q, k, v).isfinite().all()
    with sdpa.preferring(name):  # a mask, which flash attention does not take
        F.scaled_dot_product_attention(q, k, v, attn_mask=torch.zeros(1, 512, device="cuda", dtype=q.dtype))
    assert sdpa.fastest(q.double(), k.double(), v.double()) == ("sdpa-math", {})


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_every_pattern_gets_a_backend_on_cuda_and_attention_with_it_is_the_mask_s() -> None:
    sliding = Pattern(kind="sliding", radius=(1, 2))  # its mask is none of flash attention's
    heads, grid = [GLOBAL, FRAME, window(4, 4), sliding], Grid(3, 9, 14)
    q, k, v = torch.randn(3, 1, 4, grid.tokens, 64, device="cuda", dtype=torch.bfloat16)
    found = choice.choose([heads], grid, 64, q)
    assert set(found) == set(heads) and set(found.values()) <= set(sdpa.NAMES) - {sdpa.PLAIN} and found[sliding] != "sdpa-flash"
    with sdpa.using(found):
        out = attend(q, k, v, heads, grid)
    expected = attend(q.double(), k.double(), v.double(), heads, grid, backend="masked")
    torch.testing.assert_close(out.double(), expected, rtol=0, atol=2e-2)
