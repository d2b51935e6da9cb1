import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oasis import degrade
from oasis.degrade import moderate
from oasis.degrade.moderate import JUMP, LIMITS, STEPS

LISTS = tuple(LIMITS)


def drawn(seed, frames=8, inconsistent=True):
    return moderate.draw(np.random.default_rng(seed), frames, inconsistent=inconsistent)


def clip(frames=3, height=24, width=32, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (frames, height, width, 3), dtype=np.uint8)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), frames=st.integers(1, 4), height=st.integers(1, 5), width=st.integers(1, 5))
def test_consistent_is_the_recipe_of_the_built_in_clips_byte_for_byte(seed, frames, height, width):
    recipe = degrade.draw(np.random.default_rng(seed))
    found = drawn(seed, frames, inconsistent=False)
    assert {name: found[name] for name in ("resize", "scale")} == {"resize": recipe.resize, "scale": recipe.scale}
    for name in LISTS:
        assert found[name] == (None if getattr(recipe, name) is None else [getattr(recipe, name)] * frames)
    pixels = clip(frames, 4 * height, 4 * width, seed)
    np.testing.assert_array_equal(moderate.apply(found, pixels, 7), degrade.apply(recipe, pixels, 7))


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32), frames=st.integers(1, 40))
def test_inconsistent_strengths_start_alike_and_stay_in_the_ranges(seed, frames):
    found, steady = drawn(seed, frames), drawn(seed, frames, inconsistent=False)
    assert json.loads(json.dumps(found, allow_nan=False)) == found == drawn(seed, frames)
    for name, (low, high) in LIMITS.items():
        if steady[name] is None:
            assert found[name] is None
        else:
            assert len(found[name]) == frames
            assert found[name][0] == steady[name][0]
            assert low <= min(found[name]) <= max(found[name]) <= high
            assert all(type(value) is type(steady[name][0]) for value in found[name])


@pytest.mark.parametrize("name", LISTS)
def test_strengths_walk_in_small_steps_and_jump_as_often_as_said(name):
    found = drawn(3, 20000)[name] or drawn(4, 20000)[name]
    steps = np.abs(np.diff(found))
    low, high = LIMITS[name]
    # A jump may be as short as a step; of a uniform value, this share lands further away, but for the ends of the range.
    bound = STEPS[name] + 0.5 * (name == "jpeg_quality")
    far = (steps > bound + 1e-9).mean()
    assert len(set(found)) > 30
    assert 0.8 * JUMP * (1 - 2 * bound / (high - low)) < far < 1.2 * JUMP


def test_what_varies_reaches_the_pixels():
    recipe = drawn(5, 12)
    still = np.repeat(clip(1), 12, axis=0)
    found = moderate.apply(recipe | {"noise_sigma": [0.0] * 12}, still, 0)
    assert found.shape == (12, 6, 8, 3)
    assert len({frame.tobytes() for frame in found}) > 6
    assert not np.array_equal(moderate.apply(recipe, still, 0), moderate.apply(recipe, still, 1))


def test_the_number_of_frames_must_fit():
    with pytest.raises(ValueError, match="0 frames cannot be degraded; allowed: at least one"):
        drawn(0, 0)
    for count, said in ((2, "2"), (4, "more")):
        with pytest.raises(ValueError, match=f"the recipe is for 3 frames, the clip has {said}"):
            moderate.apply(drawn(0, 3), clip(count), 0)
