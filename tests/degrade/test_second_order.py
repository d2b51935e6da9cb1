import json
import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oasis.degrade import second_order
from oasis.degrade.variants import CONSISTENT, DOVE, REALBASICVSR, VARIANTS

# Table 1.3 of the published walks: the largest step between frames, and the range.
STEPS = {
    "sigma_x": 0.02,
    "sigma_y": 0.02,
    "angle": 0.31416,
    "omega": 0.0628,
    "sigma": 0.1,
    "scale": 0.005,
    "quality": 3.5,  # 3 and the rounding
}
FIRST, SECOND = (
    {"sigma_x": (0.2, 3), "sigma_y": (0.2, 3), "factor": (0.15, 1.5), "sigma": (1, 30), "scale": (0.05, 3)},
    {"sigma_x": (0.2, 1.5), "sigma_y": (0.2, 1.5), "factor": (0.3, 1.2), "sigma": (1, 25), "scale": (0.05, 2.5)},
)
ALWAYS = {"angle": (-math.pi, math.pi), "omega": (math.pi / 5, math.pi), "beta": (0.5, 4), "quality": (30, 95)}


def drawn(seed, variant, frames=6, height=48, width=64):
    return second_order.draw(np.random.default_rng(seed), frames, height, width, variant)


def clip(frames, height=48, width=64, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (frames, height, width, 3), dtype=np.uint8)


def applied(recipe, frames, seed=0):
    return np.stack(list(second_order.apply(recipe, frames, seed)))


def values(recipe):
    """Every list of the recipe with the step that it belongs to."""
    for stage in recipe["stages"]:
        for name, found in (stage | stage.get("parameters", {})).items():
            if isinstance(found, list):
                yield stage, name, found


def rounds(recipe):
    """The steps up to the first video codec, and the others."""
    end = 1 + [stage["op"] for stage in recipe["stages"]].index("video")
    return recipe["stages"][:end], recipe["stages"][end:]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), variant=st.sampled_from(list(VARIANTS.values())))
def test_a_recipe_is_plain_data_and_follows_from_its_generator(seed, variant):
    recipe = drawn(seed, variant)
    assert json.loads(json.dumps(recipe, allow_nan=False)) == recipe == drawn(seed, variant)
    assert recipe["variant"]["name"] == variant.name
    assert all(len(found) == 6 for _, _, found in values(recipe))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_walks_stay_in_their_ranges_and_take_small_steps(seed):
    recipe = drawn(seed, REALBASICVSR, frames=60)
    for stages, own, factor_step in zip(rounds(recipe), (FIRST, SECOND), (0.015, 0.03), strict=True):
        for _, name, found in values({"stages": stages}):
            if name in ("height", "width"):
                continue
            low, high = (own | ALWAYS)[name]
            assert low - 1e-9 <= min(found) <= max(found) <= high + 1e-9
            if name != "beta":  # is drawn again in every frame
                assert np.abs(np.diff(found)).max() <= (STEPS | {"factor": factor_step})[name] + 1e-9
                assert len(set(found)) > 1


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_what_is_consistent_does_not_change_from_frame_to_frame(seed):
    assert all(len(set(found)) == 1 for _, _, found in values(drawn(seed, CONSISTENT)))
    changing = {name for _, name, found in values(drawn(seed, DOVE, frames=40)) if len(set(found)) > 1}
    assert changing - {"beta"} == {"quality"}


def test_betas_lie_between_one_and_a_bound():
    for variant, lists in ((DOVE, 8), (CONSISTENT, 1)):
        found = [drawn(seed, variant, frames=8)["stages"] for seed in range(200)]
        betas = [stage["parameters"]["beta"] for stages in found for stage in stages if "beta" in stage.get("parameters", {})]
        assert len(betas) > 50
        assert all(min(beta) >= 1 or max(beta) <= 1 for beta in betas)
        assert all(len(set(beta)) == lists for beta in betas)


def test_a_thousand_draws_have_the_published_probabilities():
    recipes = [drawn(seed, REALBASICVSR, frames=1) for seed in range(1000)]

    def share(probability, hits, n=1000):
        assert abs(sum(hits) - n * probability) < 3 * math.sqrt(n * probability * (1 - probability))

    def uniform(low, high, found):
        assert abs(np.mean(found) - (low + high) / 2) < 3 * (high - low) / math.sqrt(12 * len(found))

    parts = [rounds(recipe) for recipe in recipes]
    first = [{stage["op"].split("_")[-1]: stage for stage in part[0]} for part in parts]
    assert all(list(stages) == ["blur", "resize", "noise", "jpeg", "video"] for stages in first)
    published = (0.405, 0.225, 0.108, 0.027, 0.108, 0.027, 0.1)
    for family, probability in zip(second_order.variants.FAMILIES, published, strict=True):
        share(probability, [stages["blur"]["family"] == family for stages in first])
    for size in range(7, 22, 2):
        share(1 / 8, [stages["blur"]["size"] == size for stages in first])
    for mode, probability in (("up", 0.2), ("down", 0.7), ("keep", 0.1)):
        share(probability, [stages["resize"]["mode"] == mode for stages in first])
    for name in ("bilinear", "area", "bicubic"):
        share(1 / 3, [stages["resize"]["interpolation"] == name for stages in first])
        share(1 / 3, [[stage for stage in part[1] if stage["op"] == "resize"][1]["interpolation"] == name for part in parts])
    share(0.5, [stages["noise"]["op"] == "gaussian_noise" for stages in first])
    share(0.4, [stages["noise"]["grey"] for stages in first])
    share(2 / 3, [stages["video"]["codec"] == "libx264" for stages in first])
    uniform(10_000, 100_000, [stages["video"]["bitrate"] for stages in first])
    uniform(30, 95, [stages["jpeg"]["quality"][0] for stages in first])
    uniform(0.15, 1, [stages["resize"]["factor"][0] for stages in first if stages["resize"]["mode"] == "down"])
    uniform(1, 1.5, [stages["resize"]["factor"][0] for stages in first if stages["resize"]["mode"] == "up"])
    small = [stages["blur"] for stages in first if stages["blur"]["family"] == "sinc" and stages["blur"]["size"] < 13]
    uniform(math.pi / 3, math.pi, [stage["parameters"]["omega"][0] for stage in small])

    operations = [[stage["op"] for stage in part[1]] for part in parts]
    share(0.8, [found[0] == "blur" for found in operations])
    share(0.5, [found[-1] == "video" for found in operations])
    last = [found.index("resize", found.index("jpeg")) + 1 for found in operations]
    share(0.8, [found[place : place + 1] == ["blur"] for found, place in zip(operations, last, strict=True)])
    second = [next(stage for stage in part[1] if "mode" in stage) for part in parts]
    for mode, probability in (("up", 0.3), ("down", 0.4), ("keep", 0.3)):
        share(probability, [stage["mode"] == mode for stage in second])


@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    variant=st.sampled_from(list(VARIANTS.values())),
    height=st.integers(1, 12),
    width=st.integers(1, 12),
)
def test_every_recipe_gives_a_quarter_of_the_size_and_the_same_bytes_again(seed, variant, height, width):
    recipe = drawn(seed, variant, 3, 4 * height, 4 * width)
    frames = clip(3, 4 * height, 4 * width)
    found = applied(recipe, frames)
    assert (found.shape, found.dtype) == ((3, height, width, 3), np.uint8)
    np.testing.assert_array_equal(found, applied(json.loads(json.dumps(recipe)), iter(frames)))


def test_noise_depends_on_the_seed_and_on_the_frame():
    recipe = drawn(0, CONSISTENT)
    still = np.full((6, 48, 64, 3), 120, np.uint8)
    noisy = recipe | {"stages": [stage for stage in recipe["stages"] if stage["op"] in ("gaussian_noise", "poisson_noise")]}
    one, other = applied(noisy, still, seed=1), applied(noisy, still, seed=2)
    assert not np.array_equal(one, other)
    assert not np.array_equal(one[0], one[1])


@pytest.mark.parametrize("seed", range(6))
def test_without_noise_and_codec_a_consistent_recipe_keeps_a_still_clip_still(seed):
    recipe = drawn(seed, CONSISTENT)
    still = recipe | {"stages": [stage for stage in recipe["stages"] if stage["op"] in ("blur", "resize", "jpeg")]}
    found = applied(still, np.repeat(clip(1), 6, axis=0))
    assert found.std() > 1
    assert (found == found[:1]).all()


def test_sharpness_of_a_still_clip_walks_within_what_the_kernels_allow():
    steep = replace(REALBASICVSR, walk=replace(REALBASICVSR.walk, sigma=0.2))
    recipes = (drawn(seed, steep, frames=40) for seed in range(100))
    recipe = next(recipe for recipe in recipes if recipe["stages"][0]["family"] == "iso")
    blur = recipe["stages"][0]

    def sharpness(sigmas):
        stage = blur | {"parameters": {"sigma_x": sigmas}}
        frames = second_order.apply(recipe | {"stages": [stage]}, np.repeat(clip(1), 40, axis=0), 0)
        return np.array([cv2.Laplacian(frame, cv2.CV_64F).var() for frame in frames])

    walked = sharpness(blur["parameters"]["sigma_x"])
    assert len(set(walked)) > 20
    assert sharpness([3.0] * 40)[0] <= walked.min() < walked.max() <= sharpness([0.2] * 40)[0]


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"2 frames of 30x28 pixels.*multiples of 4 are needed; crop their right and bottom"):
        drawn(0, DOVE, 2, 28, 30)
    with pytest.raises(ValueError, match="0 frames"):
        drawn(0, DOVE, 0)
    recipe = drawn(0, DOVE)
    with pytest.raises(ValueError, match="for 6 frames, the clip has 5"):
        applied(recipe, clip(5))
    with pytest.raises(ValueError, match="but frame 7 of the clip is"):
        applied(recipe, clip(7))
    with pytest.raises(ValueError, match=r"but frame 1 of the clip is \(48, 60, 3\)"):
        applied(recipe, clip(6, 48, 60))
    with pytest.raises(ValueError, match="has the format 1, got 2"):
        second_order.apply(recipe | {"format": 2}, clip(6), 0)
