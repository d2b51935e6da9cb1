import copy
import json

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oasis import degrade, dist
from oasis.degrade import classic, named, second_order
from oasis.degrade.named import NAMES
from oasis.degrade.variants import VARIANTS, Variant

DRAWN = [name for name in NAMES if name not in named.FIXED]


def clip(frames=4, height=24, width=32, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (frames, height, width, 3), dtype=np.uint8)


def drawn(name, seed=0, frames=4, height=24, width=32):
    return named.draw(name, np.random.default_rng(seed), frames, height, width)


def applied(recipe, frames, seed=0):
    return np.stack(list(named.apply(recipe, frames, seed)))


def degraded(job):
    """Degrade a clip of a name, in any process."""
    name, clip_name = job
    generator, seed = named.seeded(clip_name, 3)
    recipe = named.draw(name, generator, 4, 24, 32)
    return recipe, applied(recipe, clip(seed=len(clip_name)), seed).tobytes()


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(NAMES),
    seed=st.integers(0, 2**32),
    frames=st.integers(1, 5),
    height=st.integers(1, 12).map(lambda n: 4 * n),
    width=st.integers(1, 12).map(lambda n: 4 * n),
)
def test_as_many_frames_come_out_each_a_quarter_as_large(name, seed, frames, height, width):
    recipe = drawn(name, seed, frames, height, width)
    assert json.loads(json.dumps(recipe, allow_nan=False)) == recipe == drawn(name, seed, frames, height, width)
    assert recipe["name"] == name and recipe["format"] == 1
    found = applied(recipe, clip(frames, height, width, seed))
    assert (found.shape, found.dtype) == ((frames, height // 4, width // 4, 3), np.uint8)


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(NAMES), seed=st.integers(0, 2**32))
def test_what_is_drawn_is_read_back(tmp_path_factory, name, seed):
    path = tmp_path_factory.mktemp("recipe") / "r.json"
    recipe = drawn(name, seed)
    for held in (recipe, {"recipe": recipe, "seed": 3}):
        path.write_text(json.dumps(held))
        assert named.load(path) == recipe


def test_names_mean_what_their_families_do():
    pixels = clip()
    np.testing.assert_array_equal(applied(drawn("bi"), pixels), classic.bi(pixels))
    np.testing.assert_array_equal(applied(drawn("bd"), pixels), classic.bd(pixels, "mmagic"))
    standard = degrade.draw(np.random.default_rng(5))
    np.testing.assert_array_equal(applied(drawn("standard", 5), pixels, 9), degrade.apply(standard, pixels, 9))
    for name in VARIANTS:
        assert drawn(name)["drawn"]["variant"]["name"] == name


def test_consistent_dove_is_dove_with_pixels_that_wrap_around():
    recipe, wrapping = drawn("dove"), drawn("consistent-dove")
    coders = [stage for stage in wrapping["drawn"]["stages"] if stage["op"] == "video"]
    assert len(coders) == 2 and all(stage["wrap"] for stage in coders)
    plain = [stage | ({"wrap": False} if stage["op"] == "video" else {}) for stage in wrapping["drawn"]["stages"]]
    assert plain == recipe["drawn"]["stages"]


def test_frozen_noise_is_the_only_difference_to_consistent():
    plain, frozen = drawn("consistent"), drawn("consistent-frozen")
    noises = [stage for stage in frozen["drawn"]["stages"] if stage["op"].endswith("noise")]
    assert len(noises) == 2 and all(stage.pop("frozen") for stage in noises)
    assert frozen["drawn"]["stages"] == plain["drawn"]["stages"]


def test_bytes_depend_neither_on_the_process_nor_on_the_order_of_clips():
    jobs = [(name, clip_name) for name in ("standard-inconsistent", "inconsistent", "dove") for clip_name in ("a", "bb")]
    here = [degraded(job) for job in jobs]
    there = dict(dist.run(degraded, jobs[::-1], workers=2))
    assert [there[len(jobs) - 1 - number] for number in range(len(jobs))] == here
    assert len({pixels for _, pixels in here}) == len(jobs)
    assert here[0][0] != here[1][0]  # a clip's name changes the draws


def test_seeds_differ_by_name_and_number():
    seeds = [named.seeded(name, seed) for name in ("a", "b") for seed in (0, 1)]
    assert len({noise for _, noise in seeds}) == 4
    assert len({generator.integers(2**62) for generator, _ in seeds}) == 4


@pytest.mark.parametrize("name", ["inconsistent", "inconsistent-iid", "standard-inconsistent"])
def test_sharpness_of_a_still_clip_varies_only_where_it_is_inconsistent(name):
    """Only the first blur is left, so that nothing but its strength can change a frame."""
    still, steady = np.repeat(clip(1), 30, axis=0), {"standard-inconsistent": "standard"}.get(name, "consistent")
    changing = {}
    for each in (name, steady):
        recipes = (drawn(each, seed, 30) for seed in range(200))
        if "standard" in name:
            recipe = next(recipes)
            recipe["drawn"] |= {"noise_sigma": [0.0] * 30, "jpeg_quality": None}
        else:
            recipe = next(recipe for recipe in recipes if recipe["drawn"]["stages"][0]["family"] == "iso")
            last = {"op": "resize", "interpolation": "area", "height": [6] * 30, "width": [8] * 30}
            recipe["drawn"]["stages"] = [recipe["drawn"]["stages"][0], last]
        changing[each] = len({cv2.Laplacian(frame, cv2.CV_64F).var() for frame in applied(recipe, still)})
    assert changing[steady] == 1
    assert changing[name] > 5


@pytest.mark.parametrize("seed", range(8))
def test_frozen_noise_without_codec_keeps_a_still_clip_still(seed):
    still = np.repeat(clip(1, 48, 64), 5, axis=0)
    different = {}
    for frozen in (True, False):
        variant = Variant(name="consistent", frozen_noise=frozen)
        recipe = second_order.draw(np.random.default_rng(seed), 5, 48, 64, variant)
        recipe["stages"] = [stage for stage in recipe["stages"] if stage["op"] != "video"]
        different[frozen] = len({frame.tobytes() for frame in second_order.apply(recipe, still, 0)})
    assert different == {True: 1, False: 5}


def test_iid_frames_know_nothing_of_each_other_and_jumps_are_as_rare_as_said():
    quality = np.array(first(drawn("inconsistent-iid", 1, 3000), "jpeg")["quality"])
    assert abs(np.corrcoef(quality[1:], quality[:-1])[0, 1]) < 3 / np.sqrt(3000)
    assert abs(quality.mean() - 62.5) < 3 * 65 / np.sqrt(12 * 3000)
    walked = np.array(first(drawn("inconsistent", 1, 3000), "jpeg")["quality"])
    far = (np.abs(np.diff(walked)) > 3.5).mean()
    expected = 0.05 * (1 - 7 / 65)  # of jumps, so many land further away than a step, the ends of the range aside
    assert abs(far - expected) < 3 * np.sqrt(0.05 * 0.95 / 3000)
    assert (np.abs(np.diff(first(drawn("realbasicvsr", 1, 3000), "jpeg")["quality"])) <= 3.5).all()


def first(recipe, op):
    return next(stage for stage in recipe["drawn"]["stages"] if stage["op"] == op)


def places(value, path=()):
    """Every place in a recipe, from the outside in."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def at(recipe, path):
    for key in path:
        recipe = recipe[key]
    return recipe


@settings(max_examples=300, deadline=None)
@given(data=st.data(), name=st.sampled_from(NAMES), seed=st.integers(0, 50))
def test_a_mutated_recipe_is_refused_in_one_sentence(tmp_path_factory, data, name, seed):
    recipe = copy.deepcopy(drawn(name, seed, frames=2))
    path = data.draw(st.sampled_from([path for path in places(recipe) if path]))
    inside, key = at(recipe, path[:-1]), path[-1]
    how = data.draw(st.sampled_from(["other type", "out of range", "gone", "one more"]))
    if how == "gone":
        del inside[key]
    elif how == "one more":
        target = (
            inside
            if isinstance(inside, dict)
            else next(at(recipe, path[:n]) for n in range(len(path), -1, -1) if isinstance(at(recipe, path[:n]), dict))
        )
        target["sharpen"] = 1
    elif how == "other type":
        inside[key] = data.draw(st.sampled_from([{"a": 1}, float("nan"), ["x"], "no such"]))
    else:
        inside[key] = -1e9 if isinstance(inside[key], (int, float)) else None
    optional = path[-1] == "jpeg_quality" and how == "out of range"  # null means no JPEG
    renamed = path[-2:] == ("variant", "name") and how == "other type"  # any text is a name
    stage_gone = how == "gone" and isinstance(key, int) and path[-2] == "stages"  # another recipe, but one
    if optional or renamed or stage_gone:
        return
    file = tmp_path_factory.mktemp("recipe") / "r.json"
    file.write_text(json.dumps(recipe))
    with pytest.raises(ValueError, match=r"r\.json: ") as refused:
        named.load(file)
    assert "allowed: " in str(refused.value) or "must give 8x6 pixels" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "must be JSON"),
        ("[" * 200_000, "nested too deeply to be a recipe"),
        ("[1]", "field 'recipe' is [1]; allowed: an object with exactly the fields format, name, frames, height, width, drawn"),
        ('{"format": 1, "format": 1}', "the field 'format' is there twice; allowed: once"),
        ('{"recipe": null}', "field 'recipe' is None; allowed: an object"),
    ],
)
def test_what_is_no_recipe_is_refused(tmp_path, text, said):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(ValueError) as refused:
        named.load(tmp_path / "r.json")
    assert str(refused.value).startswith(f"{tmp_path / 'r.json'}: ") and said in str(refused.value)


def test_what_is_out_of_range_is_said_with_field_value_and_range(tmp_path):
    recipe = drawn("standard", frames=2)
    recipe["drawn"]["noise_sigma"][1] = 300
    (tmp_path / "r.json").write_text(json.dumps(recipe))
    with pytest.raises(ValueError, match=r"r\.json: field 'drawn\.noise_sigma\[1\]' is 300; allowed: a number from 0 to 255$"):
        named.load(tmp_path / "r.json")


@pytest.mark.parametrize("name", DRAWN)
def test_a_clip_that_does_not_fit_its_recipe_is_refused(name):
    recipe = drawn(name)
    with pytest.raises(ValueError, match="for 4 frames, the clip has 3"):
        applied(recipe, clip(3))
    with pytest.raises(ValueError, match="4 frames of 32x24 pixels, but frame 5 of the clip has 32x24"):
        applied(recipe, clip(5))
    with pytest.raises(ValueError, match="but frame 1 of the clip has 28x24"):
        applied(recipe, clip(4, 24, 28))


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="no degradation 'bicubic'; allowed: standard, standard-inconsistent, consistent"):
        drawn("bicubic")
    with pytest.raises(ValueError, match="4 frames of 30x24 pixels cannot be degraded"):
        drawn("standard", width=30)
