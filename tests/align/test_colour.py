import cv2
import numpy as np
import pytest
from einops import reduce
from hypothesis import given, settings
from hypothesis import strategies as st

from oasis.align import colour
from oasis.data import builtin

FRAME = builtin.make("coffee-turn", frames=1, height=192, width=320).hr[0]
REFERENCE = reduce(FRAME.astype(np.float64), "(v y) (u x) c -> (v u) c", "mean", y=8, x=8)


def chroma(rgb):
    """BT.601 in full range, by OpenCV: Y, Cr, Cb."""
    return cv2.cvtColor((rgb[None] / 255).astype(np.float32), cv2.COLOR_RGB2YCrCb)[0].astype(np.float64)


def decoded_as_bt709(rgb):
    y, cr, cb = chroma(rgb).T
    red, blue = y + 1.5748 * (cr - 0.5), y + 1.8556 * (cb - 0.5)
    green = (y - 0.2126 * red - 0.0722 * blue) / 0.7152
    return 255 * np.stack([red, green, blue], axis=1)


MISTAKES = {
    "red and blue swapped": lambda rgb: rgb[:, ::-1],
    "BT.601 decoded as BT.709": decoded_as_bt709,
    "full range decoded as limited": lambda rgb: (rgb - 16) * 255 / 219,
    "limited range decoded as full": lambda rgb: 16 + rgb * 219 / 255,
}


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(sorted(MISTAKES)), st.floats(0.98, 1.02), st.floats(-2, 2), st.integers(0, 99))
def test_a_mistake_is_found_beside_honest_drift(mistake, gain, offset, seed):
    noise = np.random.default_rng(seed).normal(0, 2, REFERENCE.shape)
    output = np.clip(MISTAKES[mistake](REFERENCE) * gain + offset + noise, 0, 255)
    assert colour.compare(output, REFERENCE).mistake == mistake


@settings(max_examples=20, deadline=None)
@given(*[st.lists(st.floats(*span), min_size=3, max_size=3) for span in ((0.95, 1.05), (-4, 4))], st.integers(0, 99))
def test_drift_is_measured_and_is_no_mistake(gain, offset, seed):
    noise = np.random.default_rng(seed).normal(0, 2, REFERENCE.shape)
    found = colour.compare(128 + np.array(offset) + np.array(gain) * (REFERENCE - 128) + noise, REFERENCE)
    assert found.mistake is None
    assert np.allclose(found.gain, gain, atol=0.02) and np.allclose(found.offset, offset, atol=0.5)


def test_the_other_matrix_mistake_undoes_the_first():
    found = colour.compare(REFERENCE, decoded_as_bt709(REFERENCE))
    assert found.mistake == "BT.709 decoded as BT.601"


@pytest.mark.parametrize("level", [0, 90])
def test_flat_colours(level):
    flat = np.full((300, 3), float(level))
    same = colour.compare(flat, flat)
    assert (same.gain, same.offset, same.mistake) == ((1, 1, 1), (0, 0, 0), None)
    assert colour.compare(flat + 7, flat).offset == (7, 7, 7)


def test_grey_pictures_cannot_be_swapped():
    grey = REFERENCE.mean(axis=1, keepdims=True).repeat(3, axis=1)
    assert colour.compare(grey[:, ::-1], grey).mistake is None
