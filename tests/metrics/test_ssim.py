import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import example, given, settings
from scipy.ndimage import correlate1d
from skimage.metrics import structural_similarity

from oasis.metrics.ssim import FLAT, GAUSSIAN, ssim


def textbook(x: np.ndarray, y: np.ndarray, taps: np.ndarray, peak: float, sample: bool, clamp: bool) -> float:
    """Equation 13 of Wang et al. 2004 in float64 for images "h w", on windows that lie wholly inside."""
    reach, n = len(taps) // 2, len(taps) ** 2

    def mean(image: np.ndarray) -> np.ndarray:
        return correlate1d(correlate1d(image, taps, axis=0), taps, axis=1)[reach:-reach, reach:-reach]

    x, y = x.astype(float), y.astype(float)
    unbiased = n / (n - 1) if sample else 1
    mean_x, mean_y = mean(x), mean(y)
    var_x, var_y = unbiased * (mean(x * x) - mean_x**2), unbiased * (mean(y * y) - mean_y**2)
    covariance = unbiased * (mean(x * y) - mean_x * mean_y)
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    contrast = (2 * covariance + c2) / (var_x + var_y + c2)
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return float((luminance * (contrast.clip(min=0) if clamp else contrast)).mean())


def pair(seed: int, height: int, width: int, level: float, texture: float, noise: float) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed).normal
    picture = level + texture * draw(size=(height, width))
    return tuple((picture + noise * draw(size=(height, width))).round().clip(0, 255).astype(np.uint8) for _ in range(2))


@settings(max_examples=60, deadline=None)
@example(seed=0, height=75, width=11, level=0, texture=0, noise=1, gaussian=True, clamp=False)  # a stripe of one row is left
@example(seed=1, height=74, width=20, level=255, texture=0, noise=1, gaussian=True, clamp=False)
@example(seed=2, height=140, width=20, level=254, texture=200, noise=0.5, gaussian=True, clamp=True)
@given(
    seed=st.integers(0, 99),
    height=st.integers(11, 150),
    width=st.integers(11, 40),
    level=st.integers(0, 255),
    texture=st.sampled_from([0, 1, 20, 200]),
    noise=st.sampled_from([0.5, 3, 60]),
    gaussian=st.booleans(),
    clamp=st.booleans(),
)
def test_equals_the_textbook(
    seed: int, height: int, width: int, level: int, texture: float, noise: float, gaussian: bool, clamp: bool
) -> None:
    x, y = pair(seed, height, width, level, texture, noise)
    taps = GAUSSIAN if gaussian else FLAT
    for sample in (False, True):
        expected = textbook(x, y, taps, 255, sample, clamp)
        # Rounding of squares up to 510^2 in float32, against C2 = 58.5 where a window is flat.
        assert ssim(x, y, taps=taps, sample=sample, clamp=clamp) == pytest.approx(expected, abs=1e-6)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), noise=st.sampled_from([1, 10, 80]))
def test_images_of_channels_and_of_float_are_taken(seed: int, noise: float) -> None:
    planes = [pair(seed + channel, 30, 40, 120, 30, noise) for channel in range(3)]
    x, y = (np.stack(images, axis=-1) for images in zip(*planes, strict=True))
    each = [ssim(*plane) for plane in planes]
    assert ssim(x, y) == pytest.approx(np.mean(each), abs=1e-7)
    assert ssim(x.astype(np.float32), y.astype(np.float32)) == pytest.approx(np.mean(each), abs=1e-7)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), level=st.integers(0, 255), texture=st.sampled_from([0, 5, 100]))
def test_is_one_for_equal_images_and_symmetric_and_lower_for_others(seed: int, level: int, texture: float) -> None:
    x, y = pair(seed, 40, 30, level, texture, 3)
    assert ssim(x, x) == 1
    assert ssim(x, y) == ssim(y, x) < 1


def test_an_inverted_image_is_negative_unless_clamped() -> None:
    x, _ = pair(0, 40, 50, 128, 40, 0)
    assert ssim(255 - x, x) < -0.5
    assert ssim(255 - x, x, clamp=True) == 0


def test_equals_scikit_image() -> None:
    x, y = pair(3, 60, 70, 100, 40, 15)
    gaussian = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
    assert ssim(x, y) == pytest.approx(structural_similarity(x, y, data_range=255, **gaussian), abs=1e-6)
    expected = structural_similarity(x, y, data_range=200)
    assert ssim(x, y, taps=FLAT, sample=True, peak=200) == pytest.approx(expected, abs=1e-6)
