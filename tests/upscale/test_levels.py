"""Levels in and out of the network, and what is no picture."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from oasis import video
from oasis.upscale.levels import as_levels, as_network, check, reduced


@pytest.mark.parametrize(("kind", "bits"), [(np.uint8, 8), (np.uint16, 10), (np.uint16, 16)])
@given(seed=st.integers(0, 2**20))
def test_levels_survive_the_network_s_range(kind: type, bits: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, np.iinfo(kind).max, (3, 5, 3), dtype=kind, endpoint=True)
    pixels.flat[:2] = 0, np.iinfo(kind).max
    there = as_network(pixels)
    assert there.dtype == torch.float32 and (there.min(), there.max()) == (-1, 1)
    assert np.array_equal(as_levels(there, bits), pixels) and as_levels(there, bits).dtype == kind


@given(seed=st.integers(0, 2**20))
def test_8_bits_are_what_video_makes_of_them(seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 3, 3), dtype=np.uint8)
    frame = torch.from_numpy(pixels).permute(2, 0, 1)
    assert torch.equal(as_network(pixels), video.to_network(frame[None])[0])
    output = torch.randn(3, 4, 3, generator=torch.Generator().manual_seed(seed))
    assert np.array_equal(as_levels(output, 8), video.from_network(output[None])[0].permute(1, 2, 0).numpy())


@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 2, 4]), st.floats(-1, 1, width=32))
def test_a_reduced_frame_has_its_size_and_keeps_one_colour(h: int, w: int, factor: int, level: float) -> None:
    frame = torch.full((3, h * factor, w * factor), level)
    torch.testing.assert_close(reduced(frame, factor), torch.full((3, h, w), level), rtol=0, atol=2e-6)


def test_what_is_no_picture_is_refused_by_its_number() -> None:
    lq = torch.linspace(-1, 1, 3 * 4 * 4 * 4).reshape(1, 3, 4, 4, 4)
    good = torch.rand(1, 3, 4, 8, 8)
    check(good, lq, Path("a.mp4"), range(10, 14))
    for number, value, said in ((2, float("nan"), "frame 12: .*NaN"), (3, float("-inf"), "frame 13: .*NaN or infinity")):
        bad = good.clone()
        bad[0, 1, number, 3, 3] = value
        with pytest.raises(ValueError, match=rf"a\.mp4: {said}"):
            check(bad, lq, Path("a.mp4"), range(10, 14))
    black = good.clone()
    black[:, :, 1] = -1
    with pytest.raises(ValueError, match=r"a\.mp4: frame 11: .*picture of one colour"):
        check(black, lq, Path("a.mp4"), range(10, 14))
    check(black, torch.zeros_like(lq), Path("a.mp4"), range(10, 14))  # of a black picture nothing else is to be expected
