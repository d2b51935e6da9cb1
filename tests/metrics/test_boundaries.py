import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oasis.measures.temporal import BOUNDARY, chunk_of, find_boundary, tile_of
from oasis.metrics import boundaries
from oasis.metrics.frames import Frame
from oasis.metrics.meter import Setting, Unavailable


def measured(names, outputs, references, cuts=()):
    height, width = outputs[0].shape[:2]
    setting = Setting(clip="clip", frames=len(outputs), height=height, width=width, cuts=tuple(cuts))
    meter = boundaries.make(names, setting)
    for output, reference in zip(outputs, references, strict=True):
        meter.add(Frame(output), Frame(reference))
    return {name: result.value for name, result in meter.result().items()}


def clips(frames, *, height=24, width=32, noise=4, seed=0):
    rng = np.random.default_rng(seed)
    reference = rng.integers(60, 190, (frames, height, width, 3))
    return reference + rng.integers(-noise, noise + 1, reference.shape), reference


def both(output, reference):
    return output.astype(np.uint8), reference.astype(np.uint8)


@given(st.integers(2, 6), st.integers(0, 9))
@settings(max_examples=15, deadline=None)
def test_without_boundaries_all_ratios_are_near_one(chunk, seed):
    output, reference = both(*clips(20, seed=seed))
    found = measured([f"boundary@chunk-{chunk}", "boundary@tile-8x16", "boundary@cut"], output, reference, cuts=[9])
    assert list(found.values()) == pytest.approx([1, 1, 1], abs=0.05)


@given(st.integers(2, 6), st.integers(1, 20), st.integers(2, 40))
@settings(max_examples=25, deadline=None)
def test_a_jump_between_chunks_has_its_known_size(chunk, inside, jump):
    frames = 4 * chunk + 1
    level = 100 + jump * (np.arange(frames) // chunk % 2) + inside * (np.arange(frames) % chunk % 2)
    output = np.broadcast_to(level[:, None, None, None], (frames, 6, 8, 3)).astype(np.uint8)
    reference = np.full_like(output, 77)
    steps = np.abs(np.diff(level))
    at = np.arange(1, frames) % chunk == 0
    found = measured([f"boundary@chunk-{chunk}"], output, reference)
    assert found[f"boundary@chunk-{chunk}"] == pytest.approx(steps[at].mean() / steps[~at].mean())
    wrong = measured([f"boundary@chunk-{frames - 1}"], output, reference)
    assert wrong[f"boundary@chunk-{frames - 1}"] == pytest.approx(steps[-1] / steps[:-1].mean())


def test_a_jump_stands_out_by_as_much_as_it_is():
    output, reference = clips(33, noise=3)
    plain = measured(["boundary@chunk-8"], *both(output, reference))["boundary@chunk-8"]
    output[8:] += 10
    output[16:] -= 10
    output[24:] += 10
    output[32:] -= 10
    found = measured(["boundary@chunk-8", "boundary@chunk-5"], *both(output, reference))
    step = np.abs(np.subtract.outer(np.arange(-3, 4), np.arange(-3, 4)))
    jump = np.abs(10 + np.subtract.outer(np.arange(-3, 4), np.arange(-3, 4)))
    assert plain == pytest.approx(1, abs=0.05)
    assert found["boundary@chunk-8"] == pytest.approx(jump.mean() / step.mean(), rel=0.03)
    assert found["boundary@chunk-5"] < 1


def test_motion_of_the_reference_is_no_error():
    reference = np.random.default_rng(0).integers(0, 256, (9, 6, 8, 3)).astype(np.uint8)
    assert measured(["boundary@chunk-4", "boundary@tile-4x4"], reference, reference) == {
        "boundary@chunk-4": 1,
        "boundary@tile-4x4": 1,
    }
    output = reference // 2
    output[4:] += 100
    reference = reference // 2
    assert measured(["boundary@chunk-4"], output, reference)["boundary@chunk-4"] == math.inf


def test_cuts_count_beside_themselves_and_never_across():
    errors = np.array([0, 1, 3, 4, 90, 94, 95, 97, 200, 205, 206])  # changes 1 2 1 | 86 | 4 1 2 | 103 | 5 1
    output = np.broadcast_to(errors[:, None, None, None], (11, 4, 4, 3)).astype(np.uint8)
    found = measured(["boundary@cut", "boundary@chunk-3"], output, np.zeros_like(output), cuts=[4, 8])
    assert found["boundary@cut"] == pytest.approx(np.mean([1, 4, 2, 5]) / np.mean([1, 2, 1, 1]))
    assert found["boundary@chunk-3"] == pytest.approx(np.mean([1, 1, 5]) / np.mean([1, 2, 4, 2, 1]))
    with pytest.raises(Unavailable, match=r"boundary@chunk-4: none of its 10 pairs .* scene cuts: 4, 8"):
        measured(["boundary@chunk-4"], output, output, cuts=[4, 8])


def stairs(length, size, step):
    levels = [0]
    for place in range(1, length):
        by = step if place % size == 0 else 1
        levels.append(levels[-1] + (by if levels[-1] + by <= 60 else -by))
    return np.array(levels)


@given(st.integers(2, 9), st.integers(2, 9), st.integers(1, 30))
@settings(max_examples=20, deadline=None)
def test_seams_have_their_known_size(height, width, step):
    level = stairs(20, height, step)[:, None] + stairs(24, width, step)
    output = np.broadcast_to(level[None, :, :, None], (2, 20, 24, 3)).astype(np.uint8)
    name = f"boundary@tile-{height}x{width}"
    assert measured([name], output, np.zeros_like(output))[name] == pytest.approx(step)


def test_a_seam_in_one_direction_is_enough():
    output, reference = clips(2, noise=4)
    output[:, :, 16:] += 12
    one, other = (measured([name], *both(output, reference))[name] for name in ("boundary@tile-99x16", "boundary@tile-12x99"))
    assert one > 3 and other == pytest.approx(1, abs=0.1)
    with pytest.raises(Unavailable, match="no seam lies within frames of 24x32 pixels"):
        measured(["boundary@tile-24x32"], output, reference)


def test_clips_without_boundaries_are_unavailable():
    output, reference = both(*clips(5))
    for name in ("boundary@chunk-5", "boundary@cut"):
        with pytest.raises(
            Unavailable, match=f"clip: {name}: none of its 4 pairs of frames is at such a boundary; scene cuts: none"
        ):
            measured([name], output, reference)
    with pytest.raises(Unavailable, match="boundary@cut: all of its 2 pairs of frames are at boundaries"):
        measured(["boundary@cut"], output[:3], reference[:3], cuts=[1])
    with pytest.raises(Unavailable, match="none of its 0 pairs"):
        measured(["boundary@chunk-2"], output[:1], reference[:1])
    meter = boundaries.make(["boundary@chunk-2"], Setting(clip="clip", frames=5, height=24, width=32))
    with pytest.raises(ValueError, match="no reference"):
        meter.add(Frame(output[0]), None)


@given(st.integers(2, 999), st.integers(2, 999))
@settings(max_examples=20)
def test_names_hold_their_sizes(first, second):
    chunk, tile = f"boundary@chunk-{first}", f"boundary@tile-{first}x{second}"
    assert (chunk_of(chunk), tile_of(chunk)) == (first, None)
    assert (chunk_of(tile), tile_of(tile)) == (None, (first, second))
    for name in (chunk, tile):
        found = find_boundary(name)
        assert (found.name, found.better, found.needs) == (name, "one", "reference")
        assert str(first) in found.what


@pytest.mark.parametrize(
    "name",
    [
        "boundary@chunk-1",
        "boundary@chunk-08",
        "boundary@chunk-",
        "boundary@tile-8x1",
        "boundary@tile-8",
        "psnr@rgb",
        "boundary@cut-2",
    ],
)
def test_other_names_are_none(name):
    assert find_boundary(name) is None


def test_the_examples_find_themselves():
    assert [find_boundary(measure.name) for measure in BOUNDARY] == list(BOUNDARY)
    assert "boundary@cut" in [measure.name for measure in BOUNDARY]
