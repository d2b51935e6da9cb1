from functools import cache

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oasis.align.registration import register
from oasis.data import builtin

TEXTURED = ("chelsea-zoom", "coffee-turn", "ihc-pan")


@cache
def lumas(name, frames=3, height=240, width=400):
    return [
        cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in builtin.make(name, frames=frames, height=height, width=width).hr
    ]


def seen(luma, scale_x, scale_y, x, y, width, height):
    """Output pixel (i, j) shows pixel (scale_x * i + x, scale_y * j + y): cubic interpolation of the reference."""
    matrix = np.array([[scale_x, 0, x], [0, scale_y, y]], dtype=np.float64)
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(luma, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT)


@settings(max_examples=8, deadline=None)
@given(st.sampled_from(TEXTURED), st.floats(0, 48), st.floats(0, 30))
def test_a_part_of_the_picture_is_found_to_a_tenth_of_a_pixel(name, x, y):
    place = register([seen(luma, 1, 1, x, y, 352, 210) for luma in lumas(name)], lumas(name))
    assert abs(place.x - x) < 0.1 and abs(place.y - y) < 0.1
    assert max(abs(place.drift_x), abs(place.drift_y)) < 0.1 and place.scatter < 0.1 and place.matched == place.regions


@settings(max_examples=6, deadline=None)
@given(st.sampled_from(TEXTURED), st.floats(-2.5, 2.5), st.floats(-2, 2))
def test_a_stretch_is_measured_at_the_borders(name, drift_x, drift_y):
    shown = [
        seen(luma, 1 + drift_x / 200, 1 + drift_y / 120, -drift_x, -drift_y, 400, 240) for luma in lumas(name)
    ]  # pixel centres from -1 to 1 span 2 * drift
    place = register(shown, lumas(name))
    assert abs(place.drift_x - drift_x) < 0.35 and abs(place.drift_y - drift_y) < 0.35
    assert abs(place.x) < 0.2 and abs(place.y) < 0.2


@settings(max_examples=5, deadline=None)
@given(st.sampled_from(TEXTURED), st.integers(-2, 2), st.integers(-2, 2), st.integers(0, 9))
def test_blur_noise_and_contrast_do_not_move_the_picture(name, x, y, seed):
    noise = np.random.default_rng(seed)
    shown = []
    for luma in lumas(name):
        small = cv2.resize(np.roll(luma, (-y, -x), (0, 1)), (100, 60), interpolation=cv2.INTER_AREA)
        large = cv2.resize(small, (400, 240), interpolation=cv2.INTER_CUBIC).astype(np.float64)
        shown.append(np.clip(0.7 * large + 20 + noise.normal(0, 4, large.shape), 0, 255).astype(np.uint8))
    place = register(shown, lumas(name))
    assert abs(place.x - x) < 0.15 and abs(place.y - y) < 0.15


def test_one_wrong_frame_does_not_count():
    shown = lumas("chelsea-zoom", 5)
    place = register([*shown[:4], np.roll(shown[4], 9, 1)], shown)
    assert abs(place.x) < 0.02 and place.scatter < 0.05


def test_other_content_is_not_found():
    place = register(lumas("chelsea-zoom"), lumas("coffee-turn"))
    assert place.matched < place.regions / 2 or place.scatter > 1


@pytest.mark.parametrize("side", [1, 16, 31])
def test_too_small_to_tell(side):
    shown = [luma[:side, :side] for luma in lumas("chelsea-zoom")]
    assert register(shown, shown) is None


def test_flat_pictures_and_bare_edges_tell_nothing():
    flat = np.full((240, 400), 7, np.uint8)
    edge = np.repeat(np.arange(400) > 200, 240).reshape(400, 240).T.astype(np.uint8) * 200
    assert register([flat], [flat]) is None
    assert register([edge], [edge]) is None
    found = register(lumas("chelsea-zoom"), [flat] * 3)
    assert found is None or found.matched == 0
