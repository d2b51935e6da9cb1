import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oasis import degrade
from oasis.degrade import Recipe


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32))
def test_drawn_recipes_are_moderate_and_survive_json(seed):
    recipe = degrade.draw(np.random.default_rng(seed))
    assert 0.2 <= recipe.blur_sigma <= 2
    assert 0 <= recipe.noise_sigma <= 6
    assert recipe.jpeg_quality is None or 60 <= recipe.jpeg_quality <= 95
    assert recipe.scale == 4
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert degrade.draw(np.random.default_rng(seed)) == recipe


def test_jpeg_is_off_in_three_of_ten_and_every_filter_occurs():
    generator = np.random.default_rng(0)
    drawn = [degrade.draw(generator) for _ in range(1000)]
    assert 250 < sum(recipe.jpeg_quality is None for recipe in drawn) < 350
    assert {recipe.resize for recipe in drawn} == {"bicubic", "area", "bilinear"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"blur_sigma": -1}, "'blur_sigma' must be a number from 0"),
        ({"noise_sigma": float("nan")}, "'noise_sigma' must be a number"),
        ({"noise_sigma": "3"}, "'noise_sigma' must be a number"),
        ({"resize": "lanczos"}, "'resize' is 'lanczos'; allowed: bicubic, area, bilinear"),
        ({"scale": 0}, "'scale' must be a whole number"),
        ({"scale": True}, "'scale' must be a whole number"),
        ({"jpeg_quality": 100}, "'jpeg_quality' must be null or a whole number from 1 to 95"),
        ({"sharpen": 1}, "exactly the fields"),
    ],
)
def test_what_does_not_fit_is_named(change, message):
    data = json.loads(Recipe().to_json()) | change
    with pytest.raises(ValueError, match=message):
        Recipe.from_json(json.dumps(data))


@pytest.mark.parametrize("text", ["", "[]", "{}", "null"])
def test_what_is_no_recipe_is_refused(text):
    with pytest.raises(ValueError, match="a recipe must be"):
        Recipe.from_json(text)


def test_apply_is_deterministic_and_its_noise_depends_on_the_seed():
    clip = np.random.default_rng(0).integers(0, 256, (2, 16, 24, 3), dtype=np.uint8)
    recipe = Recipe(blur_sigma=1.0, noise_sigma=4.0, jpeg_quality=80)
    first = degrade.apply(recipe, clip, 7)
    assert (first.shape, first.dtype) == ((2, 4, 6, 3), np.uint8)
    np.testing.assert_array_equal(first, degrade.apply(recipe, clip, 7))
    assert not np.array_equal(first, degrade.apply(recipe, clip, 8))


def test_without_strength_a_recipe_of_scale_1_is_the_identity():
    clip = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3), dtype=np.uint8)
    np.testing.assert_array_equal(degrade.apply(Recipe(scale=1, resize="area"), clip, 0), clip)
