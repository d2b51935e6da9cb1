import numpy as np
import piq
import pyiqa
import pytest
import torch
from scipy import ndimage

from oasis.metrics import pixel
from oasis.metrics.frames import Frame
from oasis.metrics.meter import Setting

NAME = "ms_ssim@pyiqa"


def scene(height: int, width: int, noise: float, seed: int = 0) -> Frame:
    """A smooth picture, noise on its right half only, so that contrast differs from place to place."""
    random = np.random.default_rng(seed)
    coarse = ndimage.zoom(random.uniform(0, 255, (height // 8 + 2, width // 8 + 2, 3)), (8, 8, 1), order=3)[:height, :width]
    coarse[:, width // 2 :] += noise * random.standard_normal((height, width - width // 2, 3))
    return Frame(coarse.clip(0, 255).round().astype(np.uint8))


def measured(output: Frame, reference: Frame) -> float:
    height, width = output.rgb.shape[:2]
    meter = pixel.make([NAME], Setting(clip="clip", frames=1, height=height, width=width))
    meter.add(output, reference)
    return meter.result()[NAME].value


@pytest.mark.parametrize("noise", [0.0, 2.0, 30.0, 120.0])
@pytest.mark.parametrize("size", [(176, 192), (161, 161), (163, 250), (200, 171)])
def test_it_equals_pyiqas_and_on_even_sizes_piqs(size: tuple[int, int], noise: float) -> None:
    output, reference = scene(*size, noise), scene(*size, 0)
    found = measured(output, reference)
    assert found == pytest.approx(float(pyiqa.create_metric("ms_ssim")(output.tensor, reference.tensor)), abs=1e-5)
    if size == (176, 192) and noise < 100:  # piq takes negative contrasts for 0 after the mean over windows, not before
        lumas = [torch.from_numpy(frame.y_full.round())[None, None] for frame in (output, reference)]
        assert found == pytest.approx(float(piq.multi_scale_ssim(*lumas, data_range=255.0)), abs=1e-5)


def test_opposite_contrast_counts_as_none() -> None:
    output = scene(176, 192, 40)
    inverse = Frame(255 - output.rgb)
    assert measured(inverse, output) == pytest.approx(
        float(pyiqa.create_metric("ms_ssim")(inverse.tensor, output.tensor)), abs=1e-5
    )


def test_frames_too_small_for_five_scales_are_refused() -> None:
    with pytest.raises(ValueError, match="160x170 pixels a border of 0 must leave 161x161"):
        pixel.make([NAME], Setting(clip="clip", frames=1, height=160, width=170))
