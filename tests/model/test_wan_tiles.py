"""The Wan decoder in tiles, and the weights that mix them."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_models import randomised

from oasis.configs import VAEConfig
from oasis.model.feather import feather, spans
from oasis.model.wan_decoder import WanDecoder

DECODER = randomised(WanDecoder(VAEConfig(kind="wan", channels=16, width=2, blocks=1))).requires_grad_(False)
Z = torch.randn(1, 16, 2, 12, 14, generator=torch.Generator().manual_seed(0))


@given(st.integers(1, 60), st.integers(0, 6), st.integers(1, 20), st.integers(1, 3))
def test_weights_cover_everything_and_never_vanish(length: int, overlap: int, more: int, factor: int) -> None:
    size = 2 * overlap + more
    total = torch.zeros(length * factor)
    for span in spans(length, size, overlap):
        weights = feather(span, length, overlap, factor)
        assert len(weights) == (span.stop - span.start) * factor and span.stop - span.start == min(size, length)
        assert weights.min() > 0 and weights.max() == 1
        total[span.scaled(factor)] += weights
    assert total.min() > 0 and total[0] == total[-1] == 1


def test_a_tile_as_large_as_the_clip_is_the_clip() -> None:
    assert torch.equal(DECODER.decode(Z, tile=(12, 14), overlap=2), DECODER.decode(Z))


def test_tiles_are_decoded_alone_and_mixed_where_they_overlap() -> None:
    found = DECODER.decode(Z, tile=(12, 8), overlap=2)
    left, right = DECODER.decode(Z[..., :8]), DECODER.decode(Z[..., 6:])
    assert torch.allclose(found[..., :48], left[..., :48], atol=1e-6)
    assert torch.allclose(found[..., 64:], right[..., 16:], atol=1e-6)
    rise = (torch.arange(16) + 1) / 17
    assert torch.allclose(found[..., 48:64], left[..., 48:] * (1 - rise) + right[..., :16] * rise, atol=1e-6)


def test_errors_of_tiles_are_largest_at_seams_and_shrink_with_the_overlap() -> None:
    whole = DECODER.decode(Z)
    hard, soft = ((DECODER.decode(Z, tile=(12, 8), overlap=overlap) - whole).abs().mean((0, 1, 2, 3)) for overlap in (0, 3))
    assert hard[56:72].mean() > 1.2 * hard[:16].mean() > 0  # nowhere zero: the middle attends to the whole frame
    assert soft.max() < hard.max()


def test_without_attention_tiles_are_exact_beyond_the_reach_of_the_convolutions() -> None:
    decoder = copy.deepcopy(DECODER)
    for tensor in decoder.decoder.mid_block.attentions[0].proj.parameters():
        tensor.zero_()
    z = torch.randn(1, 16, 2, 1, 44, generator=torch.Generator().manual_seed(1))
    error = (decoder.decode(z, tile=(1, 24), overlap=0) - decoder.decode(z)).abs().amax((0, 1, 2, 3))
    reach = 8 * 14  # pixels: 9 convolutions of latents, 5 at twice their size, 5 at four times, 5 at eight
    assert error[: 8 * 20 - reach].max() < 1e-5 and error[8 * 24 + reach :].max() < 1e-5
    assert error[8 * 20 : 8 * 24].max() > 1e-3


def test_tiles_of_half_precision_are_mixed_in_float32() -> None:
    latents = Z.to(torch.bfloat16)
    single, half = copy.deepcopy(DECODER).float(), copy.deepcopy(DECODER).to(torch.bfloat16)
    # What overlaps twice and three times is mixed from tiles that differ: rounded weights would show.
    found = half.decode(latents, tile=(7, 7), overlap=3)
    assert found.dtype == torch.bfloat16
    tiled, whole = (single.decode(Z, **tiles) for tiles in ({"tile": (7, 7), "overlap": 3}, {}))
    rounding = (half.decode(latents).float() - whole).abs().mean()
    assert (found.float() - tiled).abs().mean() < 1.2 * rounding


def test_gradients_pass_through_tiles() -> None:
    z = Z.clone().requires_grad_(True)
    DECODER.decode(z, tile=(8, 8), overlap=2).sum().backward()
    assert z.grad is not None and z.grad.abs().amax((0, 1, 2)).min() > 0


@pytest.mark.parametrize(("tile", "overlap"), [((4, 14), 2), ((12, 14), -1), ((0, 14), 0)])
def test_tiles_that_share_half_or_more_are_refused(tile: tuple[int, int], overlap: int) -> None:
    with pytest.raises(ValueError, match=f"cannot share {overlap}; allowed: less than half"):
        DECODER.decode(Z, tile=tile, overlap=overlap)
