"""Pixel-unshuffle: its definition pixel by pixel, its exact inverse, padding and cropping."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from oasis.configs import SCALES, unshuffled_channels
from oasis.model.unshuffle import crop_clip, pad_clip, shuffle, unshuffle

scales = st.sampled_from(SCALES)
sizes = st.tuples(st.integers(1, 10), st.integers(1, 19), st.integers(1, 19))
patches = st.sampled_from([(1, 1, 1), (1, 2, 2), (2, 1, 2)])
quick = settings(max_examples=40, deadline=None)


def numbered(*shape: int) -> Tensor:
    return torch.arange(torch.Size(shape).numel(), dtype=torch.float64).reshape(shape)


@quick
@given(scales, sizes, patches)
def test_unshuffle_after_padding_is_inverted_exactly(
    scale: int, size: tuple[int, int, int], patch: tuple[int, int, int]
) -> None:
    clip = numbered(2, 3, *size)
    padded = pad_clip(clip, scale, patch)
    folded = unshuffle(padded.clip, scale)
    assert padded.size == size
    assert folded.shape[1] == unshuffled_channels(scale)
    assert all(length % part == 0 for length, part in zip(folded.shape[2:], patch, strict=True))
    assert torch.equal(shuffle(folded, scale), padded.clip)
    assert torch.equal(crop_clip(shuffle(folded, scale), size, scale=1), clip)


@quick
@given(scales, sizes, patches)
def test_padding_is_the_least_that_fits_and_repeats_borders(
    scale: int, size: tuple[int, int, int], patch: tuple[int, int, int]
) -> None:
    clip = numbered(1, 3, *size)
    padded = pad_clip(clip, scale, patch).clip
    units = (4 * patch[0], 8 // scale * patch[1], 8 // scale * patch[2])
    fits = (padded.shape[2] + 3, *padded.shape[3:])
    needs = (size[0] + 3, *size[1:])
    assert all(fit % unit == 0 and 0 <= fit - need < unit for fit, need, unit in zip(fits, needs, units, strict=True))
    inside = [torch.arange(length).clamp(max=old - 1) for length, old in zip(padded.shape[2:], size, strict=True)]
    assert torch.equal(padded, clip[:, :, inside[0]][:, :, :, inside[1]][..., inside[2]])


@pytest.mark.parametrize("scale", SCALES)
def test_definition_pixel_by_pixel(scale: int) -> None:
    fold = 8 // scale
    clip = numbered(1, 3, 9, 2 * fold, fold)
    folded = unshuffle(clip, scale)
    parts = itertools.product(range(3), range(4), range(fold), range(fold))
    for channel, (colour, frame, row, column) in enumerate(parts):
        for t, y in itertools.product(range(3), range(2)):
            source = max(0, 4 * t + frame - 3)  # the first frame fills its group of four
            assert folded[0, channel, t, y, 0] == clip[0, colour, source, y * fold + row, column]


@pytest.mark.parametrize("shape", [(4, 8, 8), (5, 7, 8), (5, 8, 9)])
def test_clips_that_do_not_fold_are_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="does not fold by 4k"):
        unshuffle(torch.zeros(1, 3, *shape), 4)


@pytest.mark.parametrize("scale", [0, 3, 16])
def test_other_scales_are_refused(scale: int) -> None:
    with pytest.raises(ValueError, match=f"scale is {scale}; allowed: 1, 2, 4, 8"):
        unshuffle(torch.zeros(1, 3, 5, 8, 8), scale)
