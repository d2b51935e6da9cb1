"""The probe's quantities against the explicit matrix, in float64 to 1e-10."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import grids, patterns
from torch import Tensor

from oasis.attention import lse as lse_module
from oasis.attention.lse import attention_lse, attention_lse_plain, expectations, pattern_lse, query_row
from oasis.attention.masked import masked, pattern_mask
from oasis.grid import Grid
from oasis.routing import GLOBAL, Pattern

EXACT = 1e-10
quick = settings(max_examples=40, deadline=None)


def draw_qkv(grid: Grid, dtype: torch.dtype = torch.float64, d: int = 6, scale: float = 3.0) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    return tuple(scale**0.5 * torch.randn(2, 3, grid.tokens, d, generator=generator, dtype=dtype) for _ in range(3))


def explicit(q: Tensor, k: Tensor) -> Tensor:
    return (torch.einsum("bhid,bhjd->bhij", q, k) / q.shape[-1] ** 0.5).softmax(-1)


@quick
@given(patterns, grids)
def test_difference_of_log_sum_exps_is_the_kl_divergence(pattern: Pattern, grid: Grid) -> None:
    q, k, v = draw_qkv(grid)
    found = pattern_lse(q, k, v, pattern, grid)
    kl = attention_lse(q, k, v).lse - found.lse
    full = explicit(q, k)
    local = (full * pattern_mask(pattern, grid)) / (full * pattern_mask(pattern, grid)).sum(-1, keepdim=True)
    expected = torch.where(local > 0, local * (local / full).log(), 0).sum(-1)
    torch.testing.assert_close(kl, expected, rtol=0, atol=EXACT)
    torch.testing.assert_close(found.out, masked(q, k, v, [pattern] * 3, grid), rtol=0, atol=EXACT)


@quick
@given(grids, st.sampled_from([1, 40, lse_module.CPU_BLOCK]))
def test_expectations_equal_the_explicit_matrix(grid: Grid, block: int) -> None:
    q, k, v = draw_qkv(grid)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lse_module, "CPU_BLOCK", block)
        found = expectations(q, k, attention_lse(q, k, v).lse, grid)
    p = explicit(q, k)
    place = torch.cartesian_prod(*(torch.arange(length, dtype=torch.float64) for length in (grid.t, grid.h, grid.w)))
    step = place[:, None] - place[None, :]
    apart = step[..., 1:].square().sum(-1).sqrt()
    frames = p.unflatten(3, (grid.t, grid.frame)).sum(-1).unflatten(2, (grid.t, grid.frame)).mean(3)
    expected = {
        "entropy": -(p * p.log()).sum(-1),
        "dist_t": (p * step[..., 0].abs()).sum(-1),
        "dist_xy": (p * apart).sum(-1),
        "self_mass": p.diagonal(dim1=-2, dim2=-1),
        "frame_mass": frames,
    }
    for name, value in expected.items():
        assert float((getattr(found, name) - value).abs().max()) < EXACT, name


@pytest.mark.parametrize("d", [6, 24, 64])
@pytest.mark.parametrize("with_mask", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 2e-6), (torch.bfloat16, 2e-3)])
def test_fused_log_sum_exp_equals_its_specification(dtype: torch.dtype, tolerance: float, with_mask: bool, d: int) -> None:
    q, k, v = draw_qkv(Grid(2, 5, 7), dtype, d, scale=1.0)
    mask = torch.rand(70, 70, generator=torch.Generator().manual_seed(2)) < 0.3 if with_mask else None
    found = attention_lse(q, k, v, mask)
    expected = attention_lse_plain(*(x.double() for x in (q, k, v)), mask)
    torch.testing.assert_close(found.lse.double(), expected.lse, rtol=0, atol=tolerance)
    # The output itself is rounded to 16 bits: 2^-9 of values below four.
    torch.testing.assert_close(found.out.double(), expected.out, rtol=0, atol=max(tolerance, torch.finfo(dtype).eps * 4))


def test_plain_log_sum_exp_is_that_of_the_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lse_module, "PLAIN_ROWS", 16)
    q, k, v = draw_qkv(Grid(2, 5, 7))
    scores = torch.einsum("bhid,bhjd->bhij", q, k) / q.shape[-1] ** 0.5
    found = attention_lse_plain(q, k, v)
    torch.testing.assert_close(found.lse, scores.logsumexp(-1), rtol=0, atol=1e-13)
    torch.testing.assert_close(found.out, scores.softmax(-1) @ v, rtol=0, atol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_output_beside_the_log_sum_exp_has_the_bits_of_dense_attention(dtype: torch.dtype) -> None:
    q, k, v = draw_qkv(Grid(2, 9, 11), dtype, d=16)
    assert torch.equal(attention_lse(q, k, v).out, torch.nn.functional.scaled_dot_product_attention(q, k, v))


def test_float32_statistics_stay_near_float64() -> None:
    grid = Grid(3, 9, 10)
    q, k, v = draw_qkv(grid, scale=9.0)
    exact = expectations(q, k, attention_lse(q, k, v).lse, grid)
    q, k, v = (x.float() for x in (q, k, v))
    for expected, actual in zip(exact, expectations(q, k, attention_lse(q, k, v).lse, grid), strict=True):
        torch.testing.assert_close(actual.double(), expected, rtol=0, atol=1e-4)


def test_peaked_heads_keep_their_statistics() -> None:
    grid = Grid(2, 4, 5)
    q, k, v = draw_qkv(grid, scale=400.0)
    p = explicit(q, k)
    assert (p < 1e-60).any()
    found = expectations(q, k, attention_lse(q, k, v).lse, grid)
    torch.testing.assert_close(found.entropy, -torch.xlogy(p, p).sum(-1), rtol=0, atol=EXACT)
    torch.testing.assert_close(found.self_mass, p.diagonal(dim1=-2, dim2=-1), rtol=0, atol=EXACT)


def test_query_row_is_one_row_of_the_matrix_and_masses_add_up() -> None:
    grid = Grid(2, 3, 4)
    q, k, v = draw_qkv(grid)
    torch.testing.assert_close(query_row(q, k, 7), explicit(q, k)[:, :, 7], rtol=0, atol=1e-14)
    mass = expectations(q, k, attention_lse(q, k, v).lse, grid).frame_mass.sum(-1)
    torch.testing.assert_close(mass, torch.ones_like(mass), rtol=0, atol=1e-13)


def test_a_pattern_that_sees_everything_has_no_divergence() -> None:
    grid = Grid(2, 3, 4)
    q, k, v = draw_qkv(grid)
    assert torch.equal(pattern_lse(q, k, v, GLOBAL, grid).lse, attention_lse(q, k, v).lse)


def test_a_device_without_a_kernel_is_refused() -> None:
    q = torch.zeros(1, 1, 4, 8, device="meta")
    with pytest.raises(ValueError, match="'meta'; allowed: cpu, cuda"):
        attention_lse(q, q, q)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("with_mask", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 2e-5), (torch.bfloat16, 1e-2)])
def test_cuda_kernels_equal_the_specification(dtype: torch.dtype, tolerance: float, with_mask: bool) -> None:
    q, k, v = (x.cuda() for x in draw_qkv(Grid(2, 5, 7), dtype, d=24, scale=1.0))
    mask = torch.rand(70, 70, generator=torch.Generator().manual_seed(2)).cuda() < 0.3 if with_mask else None
    found = attention_lse(q, k, v, mask)
    expected = attention_lse_plain(*(x.double() for x in (q, k, v)), mask)
    torch.testing.assert_close(found.lse.double(), expected.lse, rtol=0, atol=tolerance)
    torch.testing.assert_close(found.out.double(), expected.out, rtol=0, atol=max(tolerance, torch.finfo(dtype).eps * 4))
