import hashlib
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oasis import degrade
from oasis.data import builtin, camera, photos
from oasis.degrade import ops


@pytest.fixture(scope="module", params=builtin.names())
def clip(request):
    return builtin.make(request.param)


def warped_back(following, flow):
    """The next frame, sampled where the flow says that the points of this frame went."""
    y, x = np.mgrid[: flow.shape[0], : flow.shape[1]].astype(np.float64)
    return photos.sample(following.transpose(2, 0, 1), x + flow[..., 0], y + flow[..., 1]).transpose(1, 2, 0)


def test_a_third_is_held_out_and_shares_no_photograph():
    train, test = ([builtin.CLIPS[name] for name in builtin.names(split)] for split in ("train", "test"))
    assert len(builtin.CLIPS) == 12
    assert len(test) * 3 == len(builtin.CLIPS) == len(train) + len(test)
    assert not {photo for spec in train for photo in spec.photos} & {photo for spec in test for photo in spec.photos}
    assert {photo for spec in builtin.CLIPS.values() for photo in spec.photos} == set(photos.PHOTOS)
    assert len({spec.seed for spec in builtin.CLIPS.values()}) == len(builtin.CLIPS)


def test_shapes_and_types(clip):
    assert (clip.hr.shape, clip.hr.dtype) == ((17, 192, 320, 3), np.uint8)
    assert (clip.lq.shape, clip.lq.dtype) == ((17, 48, 80, 3), np.uint8)
    assert (clip.flow.shape, clip.flow.dtype) == ((16, 192, 320, 2), np.float32)
    assert (clip.occluded.shape, clip.occluded.dtype) == ((16, 192, 320), np.bool_)
    assert np.isfinite(clip.flow).all()
    assert clip.split == builtin.CLIPS[clip.name].split


def errors(clip, *, factor=1.0, shift=(0.0, 0.0)):
    """Grey levels between frames and their successors warped back, at visible points of two steps.

    Both are blurred a little first: what lies near the Nyquist frequency (the trees of `china`) no warping can bring back.
    """
    found = []
    for t in (2, 12):
        now, following = ops.blur(clip.hr[t : t + 2].astype(np.float32), 1.0).astype(np.float64)
        back = warped_back(following, factor * clip.flow[t] + np.float32(shift))
        found.append(np.abs(back - now).mean(axis=-1)[~clip.occluded[t]])
    return np.concatenate(found)


def test_flow_brings_the_next_frame_back(clip):
    error = errors(clip)
    assert np.median(error) < 0.5
    assert np.quantile(error, 0.95) < 3
    assert error.mean() < 0.12 * errors(clip, factor=0.0).mean()


def test_flow_is_exact_to_a_fraction_of_a_pixel(clip):
    error = errors(clip).mean()
    for shift in ((0.15, 0), (-0.15, 0), (0, 0.15), (0, -0.15)):
        assert 1.3 * error < errors(clip, shift=shift).mean()


def test_speeds_are_those_of_real_footage(clip):
    speed = np.linalg.norm(clip.flow, axis=-1)[~clip.occluded]
    assert 0.3 < np.median(speed) < 4
    assert np.quantile(speed, 0.99) < 8


def test_cuts_hide_everything_and_nothing_else_does(clip):
    assert clip.cut == ([8] if builtin.CLIPS[clip.name].motion == "cut" else [])
    hidden = clip.occluded.reshape(16, -1).mean(axis=1)
    assert all(hidden[t - 1] == 1 for t in clip.cut)
    assert all(hidden[t] < 0.1 for t in range(16) if t + 1 not in clip.cut)


def test_visible_points_stay_in_the_frame(clip):
    y, x = np.mgrid[:192, :320].astype(np.float64)
    to_x, to_y = x + clip.flow[..., 0], y + clip.flow[..., 1]
    outside = (to_x < -1e-3) | (to_x > 319.001) | (to_y < -1e-3) | (to_y > 191.001)
    assert not (outside & ~clip.occluded).any()


def test_a_moving_object_covers_what_lies_before_it():
    clip = builtin.make("page-over-brick")
    y, x = np.mgrid[:192, :320].astype(np.float64)
    to_x, to_y = x + clip.flow[..., 0], y + clip.flow[..., 1]
    inside = (to_x > 1) & (to_x < 318) & (to_y > 1) & (to_y < 190)
    assert (clip.occluded & inside).sum(axis=(1, 2)).min() > 20


def test_lq_is_the_recipe_applied(clip):
    seed = builtin.CLIPS[clip.name].seed
    np.testing.assert_array_equal(clip.lq, degrade.apply(clip.recipe, clip.hr, seed))


def test_two_processes_with_different_threads_give_the_same_bytes():
    script = """
import hashlib
from oasis.data import builtin
for name in ("motorcycle-parallax", "chelsea-over-flower"):
    clip = builtin.make(name, frames=2)
    print(hashlib.sha256(b"".join(part.tobytes() for part in clip[2:6])).hexdigest())
"""
    outputs = [
        subprocess.run(
            [sys.executable, "-c", script],
            env={"OMP_NUM_THREADS": threads, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "3")
    ]
    here = [builtin.make(name, frames=2) for name in ("motorcycle-parallax", "chelsea-over-flower")]
    digests = [hashlib.sha256(b"".join(part.tobytes() for part in clip[2:6])).hexdigest() for clip in here]
    assert outputs[0].split() == outputs[1].split() == digests


def test_another_seed_moves_the_same_photograph_differently():
    first, second = (builtin.make("china-pan", frames=2, seed=seed) for seed in (100, 101))
    assert not np.array_equal(first.hr, second.hr)
    assert first.recipe != second.recipe


def test_the_global_generator_is_left_alone():
    before = np.random.get_state()[1].copy()
    builtin.make("ihc-pan", frames=1)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


@pytest.mark.parametrize("name", ["rocket-hubble-cut", "page-over-brick", "motorcycle-parallax", "flower-turn"])
@pytest.mark.parametrize(("frames", "height", "width"), [(1, 64, 64), (2, 16, 64), (5, 96, 32)])
def test_other_sizes(name, frames, height, width):
    clip = builtin.make(name, frames=frames, height=height, width=width, seed=5)
    assert clip.hr.shape == (frames, height, width, 3)
    assert clip.lq.shape == (frames, height // 4, width // 4, 3)
    assert clip.flow.shape == (frames - 1, height, width, 2)


def test_bad_names_and_sizes_are_refused():
    with pytest.raises(ValueError, match="no built-in clip 'nope'; allowed: astronaut-zoom"):
        builtin.make("nope")
    with pytest.raises(ValueError, match="multiples of 4"):
        builtin.make("ihc-pan", height=190)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    motion=st.sampled_from(["slide", "pan", "zoom", "turn"]),
    photo=st.tuples(st.integers(280, 1500), st.integers(360, 1500)),
    frames=st.integers(1, 80),
)
def test_no_path_leaves_the_photograph(seed, motion, photo, frames):
    path = camera.draw(np.random.default_rng(seed), motion, photo, (192, 320), frames)
    corners = np.array([-159.5, 159.5, -159.5, 159.5]), np.array([-95.5, -95.5, 95.5, 95.5])
    for t in range(frames):
        x, y = path.to_photo(t, *corners)
        assert x.min() >= 0 and x.max() <= photo[1] - 1
        assert y.min() >= 0 and y.max() <= photo[0] - 1
        back = path.to_frame(t, x, y)
        np.testing.assert_allclose(back, corners, atol=1e-9)
