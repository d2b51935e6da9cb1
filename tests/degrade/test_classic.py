import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oasis.degrade import classic

SHRINK = {
    "bi": classic.bi,
    "bd-mmagic": lambda clip: classic.bd(clip, "mmagic"),
    "bd-pfnl": lambda clip: classic.bd(clip, "pfnl"),
}
CENTRES = {"bi": 1.5, "bd-mmagic": 1.5, "bd-pfnl": 0.0}


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def cubic(x):
    x = abs(x)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x <= 2 else 0.0


def contributions(length, scale):
    """MATLAB's imresize, one side, as a matrix: positions counted from 1, mirrored beyond the border."""
    matrix = np.zeros((length // scale, length))
    mirrored = [*range(length), *reversed(range(length))]
    for out in range(length // scale):
        u = (out + 1) * scale + 0.5 * (1 - scale)
        left = int(np.floor(u - 4 * scale / 2))
        positions = range(left, left + 4 * scale + 2)
        weights = np.array([cubic((u - position) / scale) / scale for position in positions])
        for position, weight in zip(positions, weights / weights.sum(), strict=True):
            matrix[out, mirrored[(position - 1) % (2 * length)]] += weight
    return matrix


def imresize(frame, scale, *, rounds_between):
    """Rows first, as MATLAB takes the sides of equal scale in their order."""
    rows = np.einsum("yY,Yxc->yxc", contributions(frame.shape[0], scale), frame.astype(np.float64))
    if rounds_between:
        rows = np.floor(rows.clip(0, 255) + 0.5)
    both = np.einsum("xX,yXc->yxc", contributions(frame.shape[1], scale), rows)
    return np.floor(both.clip(0, 255) + 0.5)


SIDES = {
    "seed": st.integers(0, 2**32),
    "scale": st.sampled_from([1, 2, 3, 4]),
    "rows": st.integers(1, 9),
    "columns": st.integers(1, 9),
}


@settings(max_examples=20, deadline=None)
@given(**SIDES)
def test_bi_is_matlabs_imresize(seed, scale, rows, columns):
    # Equal, not close: weights are multiples of a power of two, which floats add exactly, or of 1/81, which no half is.
    clip = noise(2, rows * scale, columns * scale, 3, seed=seed)
    found = classic.bi(clip, scale)
    assert (found.shape, found.dtype) == ((2, rows, columns, 3), np.uint8)
    for small, frame in zip(found, clip, strict=True):
        np.testing.assert_array_equal(small, imresize(frame, scale, rounds_between=True))


@settings(max_examples=20, deadline=None)
@given(**SIDES)
def test_without_rounding_between_the_sides_bi_differs_by_one_at_most(seed, scale, rows, columns):
    clip = 32 + noise(2, rows * scale, columns * scale, 3, seed=seed) % 192
    # Weights' absolute values sum to 1.19 at most. So values of 32..223 overshoot by (1.19 - 1) / 2 * 191 = 18 and nothing is
    # cut off between the sides (noise of 0..255 would be, which made up to 6 levels), and 0.5 levels of rounding become 0.6.
    for small, frame in zip(classic.bi(clip, scale), clip, strict=True):
        assert np.abs(small - imresize(frame, scale, rounds_between=False)).max() <= 1


def blurred_samples(frame, size, border, start):
    """The whole Gaussian in two dimensions at every place; only then every fourth is kept."""
    offsets = np.arange(size) - (size - 1) / 2
    window = np.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * 1.6**2))
    window /= window.sum()
    before = (size - 1) // 2  # of an even kernel, imfilter's origin is the pixel left of its middle
    padded = np.pad(frame.astype(np.float64), ((before, size // 2), (before, size // 2), (0, 0)), mode=border)
    views = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(0, 1))
    return np.einsum("yxckl,kl->yxc", views, window)[start::4, start::4]


@pytest.mark.parametrize(("phase", "size", "border", "start"), [("mmagic", 12, "edge", 1), ("pfnl", 13, "reflect", 0)])
def test_bd_is_a_gaussian_and_every_fourth_pixel(phase, size, border, start):
    clip = noise(2, 24, 32, 3)
    found = classic.bd(clip, phase)
    assert (found.shape, found.dtype) == ((2, 6, 8, 3), np.uint8)
    for small, frame in zip(found, clip, strict=True):
        assert np.abs(small - blurred_samples(frame, size, border, start)).max() < 0.5 + 1e-9


@pytest.mark.parametrize("name", SHRINK)
def test_samples_of_a_ramp_lie_at_the_stated_centres(name):
    ramp = np.broadcast_to(2 * np.arange(128, dtype=np.uint8)[None, :, None], (128, 128, 3))
    expected = 2 * (4 * np.arange(32) + CENTRES[name])
    for clip in (ramp, ramp.transpose(1, 0, 2)):
        small = SHRINK[name](np.ascontiguousarray(clip))
        line = small[16, :, 0] if clip is ramp else small[:, 16, 0]
        np.testing.assert_array_equal(line[3:-3], expected[3:-3])


@pytest.mark.parametrize("name", SHRINK)
def test_the_response_to_lines_is_centred_there(name):
    response = []
    for place in range(64):
        clip = np.full((16, 64, 3), 100, np.uint8)
        clip[:, place] = 255
        response.append(float(SHRINK[name](clip)[2, 8, 0]) - 100)
    assert np.average(np.arange(64), weights=response) == pytest.approx(4 * 8 + CENTRES[name], abs=0.1)


@pytest.mark.parametrize("name", SHRINK)
def test_flat_frames_stay_and_frames_are_on_their_own(name):
    shrink = SHRINK[name]
    np.testing.assert_array_equal(shrink(np.full((8, 4, 3), 77, np.uint8)), np.full((2, 1, 3), 77))
    clip = noise(3, 16, 12, 3)
    np.testing.assert_array_equal(shrink(clip), np.stack([shrink(frame) for frame in clip]))


@pytest.mark.parametrize("name", SHRINK)
def test_a_side_that_is_no_multiple_is_refused_with_what_to_do(name):
    with pytest.raises(ValueError, match="14x16 pixels cannot be reduced by 4: crop right and bottom to multiples of it"):
        SHRINK[name](noise(1, 16, 14, 3))
