import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oasis.degrade import ops


def clip(*shape, seed=0):
    return np.random.default_rng(seed).uniform(0, 255, shape).astype(np.float32)


def test_blur_is_the_gaussian_sum():
    frames = clip(1, 9, 11, 1)
    sigma, radius = 0.8, 3
    padded = np.pad(frames[0, :, :, 0].astype(np.float64), radius, mode="edge")
    weight = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    weight /= weight.sum()
    expected = np.zeros((9, 11))
    for y in range(9):
        for x in range(11):
            expected[y, x] = weight @ padded[y : y + 7, x : x + 7] @ weight
    np.testing.assert_allclose(ops.blur(frames, sigma)[0, :, :, 0], expected, atol=14 * 255 * 2**-23)


def test_no_blur_changes_nothing():
    frames = clip(2, 5, 6, 3)
    np.testing.assert_array_equal(ops.blur(frames, 0.0), frames)


def test_area_is_the_mean_of_each_block():
    frames = clip(2, 12, 8, 3)
    expected = frames.reshape(2, 3, 4, 2, 4, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(ops.downscale(frames, 4, "area"), expected, atol=1e-4)


def imresize_weights(length, scale):
    """The weights of MATLAB's imresize with antialiasing: Keys' kernel, a = -0.5, widened by the scale, away from borders."""
    centres = (np.arange(length // scale) + 0.5) * scale - 0.5
    x = np.abs(np.arange(length)[None] - centres[:, None]) / scale
    near, far = (1.5 * x - 2.5) * x**2 + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    weights = np.where(x <= 1, near, np.where(x < 2, far, 0))
    return weights / weights.sum(axis=1, keepdims=True)


def test_bicubic_is_matlabs_imresize_away_from_the_borders():
    frames = clip(1, 48, 64, 1)
    expected = imresize_weights(48, 4) @ frames[0, :, :, 0].astype(np.float64) @ imresize_weights(64, 4).T
    found = ops.downscale(frames, 4, "bicubic")[0, :, :, 0]
    np.testing.assert_allclose(found[2:-2, 2:-2], expected[2:-2, 2:-2], atol=1e-3)


@settings(max_examples=20, deadline=None)
@given(scale=st.sampled_from([1, 2, 4, 8]), resize=st.sampled_from(sorted(ops.FILTERS)), slope=st.floats(-2, 2))
def test_downscaling_keeps_centres_in_place(scale, resize, slope):
    x = np.arange(96, dtype=np.float32)
    frames = np.broadcast_to(128 + slope * (x - 47.5), (1, 96, 96)).astype(np.float32)[..., None]
    expected = 128 + slope * ((np.arange(96 // scale) + 0.5) * scale - 0.5 - 47.5)
    found = ops.downscale(np.ascontiguousarray(frames), scale, resize)[0, 0, :, 0]
    np.testing.assert_allclose(found[2:-2], expected[2:-2], atol=1e-3)


def test_a_size_that_does_not_divide_is_refused():
    with pytest.raises(ValueError, match="12x10 pixels cannot be reduced by 4"):
        ops.downscale(clip(1, 10, 12, 3), 4, "area")


def test_noise_is_fresh_for_every_frame_and_of_the_given_strength():
    added = ops.noise(np.zeros((2, 64, 64, 3), np.float32), 5.0, np.random.default_rng(0))
    assert abs(added.std() - 5) < 0.1
    assert abs(added.mean()) < 0.1
    assert abs(np.corrcoef(added[0].ravel(), added[1].ravel())[0, 1]) < 0.05


def test_quantise_clamps_and_rounds():
    np.testing.assert_array_equal(ops.quantise(np.array([-3, 0.4, 0.6, 254.7, 300], np.float32)), [0, 0, 1, 255, 255])


def test_jpeg_of_lower_quality_is_farther_away():
    frames = ops.quantise(ops.blur(clip(2, 32, 32, 3), 1.0))
    distance = [np.abs(ops.jpeg(frames, quality).astype(float) - frames).mean() for quality in (95, 60, 10)]
    assert 0 < distance[0] < distance[1] < distance[2]


@settings(max_examples=40, deadline=None)
@given(
    sigma=st.just(0.0) | st.floats(0.05, 3),
    height=st.integers(1, 40),
    width=st.integers(1, 20),
    seed=st.integers(0, 2**32),
)
def test_blur_in_blocks_of_rows_has_the_bytes_of_the_plain_sum(sigma, height, width, seed):
    clip = np.random.default_rng(seed).uniform(0, 255, (2, height, width, 3)).astype(np.float32)
    radius = math.ceil(3 * sigma)
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2) if radius else np.ones(1)
    taps = (taps / taps.sum()).astype(np.float32)
    plain = clip
    for axis in (1, 2):
        padded = np.pad(plain, [(radius, radius) if n == axis else (0, 0) for n in range(4)], mode="edge")
        plain = np.zeros_like(plain)
        for start, tap in enumerate(taps):
            plain += tap * padded.take(range(start, start + clip.shape[axis]), axis=axis)
    np.testing.assert_array_equal(ops.blur(clip, sigma), plain)
