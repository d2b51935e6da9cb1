from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oasis.align import lag
from oasis.align.registration import Place
from oasis.align.sketch import sketch
from oasis.data import builtin

HERE = Place(x=0.0, y=0.0, drift_x=0.0, drift_y=0.0, scatter=0.0, regions=9, matched=9, likeness=1.0)


@cache
def frames(name):
    return builtin.make(name, frames=32, height=96, width=160).hr


def told(output, reference, place=HERE):
    found = lag.find(output, reference, place)
    return found.lag if found and found.told else None


@settings(max_examples=8, deadline=None)
@given(st.sampled_from(["ihc-pan", "coffee-turn"]), st.integers(-8, 8), st.integers(0, 9))
def test_a_delay_is_found(name, delay, seed):
    clip = frames(name)
    noise = np.random.default_rng(seed).normal(0, 6, clip[8:24].shape)
    output = np.clip(0.9 * clip[8:24] + 5 + noise, 0, 255).astype(np.uint8)
    reference = clip[8 - delay : 32 - max(0, delay)]
    assert told(sketch(output), sketch(reference)) == delay


def test_a_part_of_a_longer_clip_is_found():
    clip = frames("ihc-pan")
    assert told(sketch(clip[13:18]), sketch(clip)) == 13


def test_it_is_looked_for_where_the_picture_lies():
    clip = frames("coffee-turn")
    place = Place(x=20.0, y=10.0, drift_x=0.0, drift_y=0.0, scatter=0.0, regions=9, matched=9, likeness=1.0)
    assert told(sketch(clip[3:20, 10:90, 20:140]), sketch(clip), place) == 3


@pytest.mark.parametrize("count", [1, 2, 20])
def test_stillness_tells_nothing(count):
    still = np.repeat(frames("ihc-pan")[:1], count, axis=0)
    noisy = np.clip(still + np.random.default_rng(0).normal(0, 6, still.shape), 0, 255).astype(np.uint8)
    assert told(sketch(noisy), sketch(still)) is None


def test_a_periodic_motion_tells_nothing():
    clip = np.tile(frames("ihc-pan")[:4], (6, 1, 1, 1))
    assert told(sketch(clip), sketch(clip)) is None
