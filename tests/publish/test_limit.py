"""The limit corrects what a low-resolution grid can hold, and nothing else."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from oasis.metrics import pixel
from oasis.publish import limit


def cosine(rows: int, columns: int, y: int = 16, x: int = 24) -> torch.Tensor:
    """One frame with a single frequency of the DCT-II, of amplitude 40 around 100."""
    wave = [np.cos(np.pi * k * (2 * np.arange(n) + 1) / (2 * n)) for k, n in ((rows, y), (columns, x))]
    return torch.from_numpy(np.rint(100 + 40 * np.outer(*wave))).to(torch.uint8).expand(1, 3, y, x)


@given(rows=st.integers(0, 15), columns=st.integers(0, 23))
def test_frequencies_below_those_of_the_small_grid_are_corrected_and_no_others(rows: int, columns: int) -> None:
    flat, wave = torch.full((1, 3, 16, 24), 100, dtype=torch.uint8), cosine(rows, columns)
    seen = rows < 16 // 4 and columns < 24 // 4
    corrected = limit.in_band(flat, wave, scale=4).int()
    assert (corrected - (wave if seen else flat).int()).abs().max() <= 1  # the wave was rounded


@given(st.integers(0, 2**32))
def test_an_upscaled_clip_gains_and_the_truth_stays(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    have, want = (torch.randint(60, 196, (2, 3, 16, 16), dtype=torch.uint8, generator=generator) for _ in range(2))
    assert pixel.psnr_y(limit.in_band(have, want, scale=4), want) > pixel.psnr_y(have, want)
    assert torch.equal(limit.in_band(want, want, scale=4), want)


def test_frames_that_do_not_fit_are_refused() -> None:
    frames = torch.zeros(1, 3, 16, 18, dtype=torch.uint8)
    with pytest.raises(ValueError, match="multiples of 4"):
        limit.in_band(frames, frames, scale=4)
