import itertools
from functools import cache

import cv2
import numpy as np
import pytest
import torch
from einops import rearrange
from hypothesis import given, settings
from hypothesis import strategies as st

from oasis import video
from oasis.align import gate
from oasis.align.policy import NONE, parse
from oasis.data import builtin


@cache
def clip():
    return builtin.make("coffee-turn", frames=20, height=192, width=320)


def inspect(output, reference, **options):
    return gate.inspect(lambda: iter(output), lambda: iter(reference), **options)


def advice(found):
    """Return what is advised, after checking that it is accepted and nothing else was."""
    with pytest.raises(gate.Mismatch) as error:
        gate.judge(found, NONE)
    advised = gate.advise(found)
    assert str(error.value).replace("'", "").endswith(f": --align {advised}")
    gate.judge(found, advised)
    return str(advised)


def enlarged(frames, scale=4):
    return [cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC) for frame in frames]


@pytest.mark.parametrize("name", ["coffee-turn", "page-over-brick"])
def test_equal_grids_pass_even_if_degraded(name):
    rendered = builtin.make(name, frames=5, height=192, width=320)
    for output in (rendered.hr, enlarged(rendered.lq)):
        gate.judge(inspect(output, rendered.hr), NONE)
        gate.judge(inspect(output, rendered.lq, degraded=True, scale=4), NONE)


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 40), st.integers(0, 24), st.integers(-5, 5), st.integers(-4, 4))
def test_crop_and_shift_are_found_and_nothing_else_is_accepted(left, top, x, y):
    reference = clip().hr[:5]
    cropped = inspect(reference[:, top : top + 168, left : left + 280], reference)
    assert advice(cropped) == f"crop:left={left},top={top},width=280,height=168"
    with pytest.raises(gate.Mismatch, match="not settled by --align crop"):
        gate.judge(cropped, parse(f"crop:left={(left + 20) % 41},top={top}"))
    gate.judge(cropped, parse(f"crop:left={(left + 20) % 41},top={top};as-is"))
    if x or y:
        shifted = inspect(np.roll(reference, (-y, -x), (1, 2)), reference)
        assert advice(shifted) == f"shift:x={x},y={y}"
        with pytest.raises(gate.Mismatch):
            gate.judge(shifted, parse(f"shift:x={x + 1},y={y}"))


def test_an_output_that_reaches_beyond_the_reference_is_a_shift():
    reference = clip().hr[:5, 8:184, 8:312]
    assert advice(inspect(clip().hr[:5], reference)) == "shift:x=-8,y=-8"


@pytest.mark.parametrize(("width", "height"), [(324, 192), (320, 184), (160, 96), (480, 288)])
def test_a_resize_is_told_from_a_crop(width, height):
    output = [cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA) for frame in clip().hr[:5]]
    found = inspect(output, clip().hr[:5])
    assert advice(found) == "resize:width=320,height=192"
    with pytest.raises(gate.Mismatch):
        gate.judge(found, parse("shift:x=0,y=0;frames:start=0,count=5"))


@pytest.mark.parametrize("shift", [0.5, 0.3])
def test_a_sub_pixel_shift_is_refused_unless_accepted(shift):
    matrix = np.array([[1, 0, shift], [0, 1, 0]])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    output = [cv2.warpAffine(frame, matrix, (320, 192), flags=flags, borderMode=cv2.BORDER_REFLECT) for frame in clip().hr[:5]]
    assert "as-is" in advice(inspect(output, clip().hr[:5]))


def test_the_drift_of_align_corners_is_refused_unless_accepted():
    small = [cv2.resize(frame, (80, 48), interpolation=cv2.INTER_AREA) for frame in clip().hr[:5]]
    matrix = np.array([[79 / 319, 0, 0], [0, 47 / 191, 0]])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    output = [cv2.warpAffine(frame, matrix, (320, 192), flags=flags, borderMode=cv2.BORDER_REPLICATE) for frame in small]
    found = inspect(output, clip().hr[:5])
    assert abs(found.place.drift_x + 1.5) < 0.3 and abs(found.place.drift_y + 1.5) < 0.3
    assert advice(found) == "as-is"


@pytest.mark.parametrize(
    ("shown", "seen", "policy"),
    [
        (slice(3, 20), slice(0, 17), "frames:start=3,count=14"),
        (slice(0, 17), slice(3, 20), "frames:start=-3,count=14"),
        (slice(0, 17), slice(0, 20), "frames:start=0,count=17"),
        (slice(0, 20), slice(0, 16), "frames:start=0,count=16"),
        (slice(5, 12), slice(0, 20), "frames:start=5,count=7"),
    ],
)
def test_temporal_offsets_and_counts_are_found(shown, seen, policy):
    found = inspect(clip().hr[shown], clip().hr[seen])
    assert abs(found.place.x) < 0.05 and found.place.scatter < 0.1
    assert advice(found) == policy


def test_everything_at_once():
    output = clip().hr[2:18, 6:182, 10:310]
    assert advice(inspect(output, clip().hr)) == "crop:left=10,top=6,width=300,height=176;frames:start=2,count=16"


@pytest.mark.parametrize("degraded", [False, True])
def test_swapped_channels_are_refused(degraded):
    found = inspect(clip().hr[:5, ..., ::-1], clip().hr[:5], degraded=degraded)
    assert found.colour.mistake == "red and blue swapped" and advice(found) == "as-is"


def test_a_wrong_range_is_refused_against_ground_truth_only():
    output = (16 + clip().hr[:5] * (219 / 255)).round().astype(np.uint8)
    assert advice(inspect(output, clip().hr[:5])) == "as-is"
    gate.judge(inspect(output, clip().hr[:5], degraded=True), NONE)


def test_other_content_is_unregistered():
    other = builtin.make("chelsea-zoom", frames=5, height=192, width=320).hr
    found = inspect(other, clip().hr[:5])
    assert advice(found) == "unregistered"
    gate.judge(found, parse("as-is"))


@pytest.mark.parametrize("size", [(1, 192, 320), (1, 1, 1), (2, 16, 16), (3, 5, 300), (40, 33, 34)])
def test_clips_of_any_size_equal_themselves(size):
    frames = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    gate.judge(inspect(frames, frames), NONE)


def test_flat_clips_cannot_tell_and_pass():
    black = np.zeros((4, 192, 320, 3), np.uint8)
    found = inspect(black, black)
    assert found.place is None and found.lag is None
    gate.judge(found, NONE)


def test_flat_clips_of_other_sizes_need_the_users_word():
    found = inspect(np.zeros((4, 90, 160, 3), np.uint8), np.zeros((4, 96, 160, 3), np.uint8))
    with pytest.raises(gate.Mismatch, match="frames are 160x90, the reference 160x96: the pictures do not tell"):
        gate.judge(found, NONE)
    gate.judge(found, parse("crop:top=3"))


def test_a_clip_without_frames_is_an_error():
    with pytest.raises(ValueError, match="without frames"):
        inspect([], clip().hr)


def test_files_are_read_frame_by_frame(tmp_path):
    frames = rearrange(torch.from_numpy(clip().hr[:3]), "t h w c -> t c h w")
    video.write(tmp_path / "clip.mkv", frames, 25)
    read = gate.opened(tmp_path / "clip.mkv")
    for _ in range(2):
        assert np.array_equal(np.stack(list(read())), clip().hr[:3])


CROP = "crop:left={},top={},width={},height={}"
LQ = dict(degraded=True)
PEERS = [
    *(("reds4_015", name, "gt.mp4", {}, "none") for name in ("StreamDiffVSR", "VideoGigaGAN-base")),
    ("reds4_015", "bicubic", "gt.mp4", {}, "as-is"),
    ("udm10_003", "OASIS-page-STAR", "OASIS-page-LQ.mp4", LQ, "none"),
    *(
        ("udm10_003", f"OASIS-page-{name}", "OASIS-page-LQ.mp4", LQ, CROP.format(0, 0, 1264, 720))
        for name in ("SeedVR", "OASIS")
    ),
    ("udm10_003", "StreamDiffVSR", "OASIS-page-LQ.mp4", LQ, "resize:width=1272,height=720"),
    ("udm10_003", "bicubic", "OASIS-page-LQ.mp4", LQ, "resize:width=1272,height=720;as-is"),
    ("udm10_003", "OASIS-page-VEnhancer", "OASIS-page-LQ.mp4", LQ, "unregistered"),
    *(("spmcs_hitachi", name, "input.mp4", LQ | dict(native=(960, 540)), "none") for name in ("DOVE", "STAR")),
    ("spmcs_hitachi", "FlashVSR-Full", "input.mp4", LQ | dict(native=(960, 540)), CROP.format(32, 14, 896, 512)),
    ("spmcs_hitachi", "SeedVR2-7B", "input.mp4", LQ | dict(native=(960, 540)), CROP.format(0, 6, 960, 528)),
    *(("oasis_real_2", name, "input.mp4", LQ, "none") for name in ("STAR", "SeedVR2")),
    ("vid4_calendar", "DUF-52L", "gt.mkv", {}, "none"),
    *(("vimeo7_data2", name, "gt.mp4", {}, "none") for name in ("BasicVSR", "VideoGigaGAN")),
]


@cache
def beginning(path):
    return list(itertools.islice(gate.opened(path)(), 5))


@pytest.mark.parametrize(("folder", "name", "reference", "options", "policy"), PEERS)
def test_published_outputs_lie_where_they_are_known_to_lie(shared, folder, name, reference, options, policy):
    """The first frames of some; on all and whole clips the answers are the same."""
    files = (shared(f"data/peers/{folder}/{file}") for file in (name + reference[-4:], reference))
    found = inspect(*map(beginning, files), **options)
    assert found.lag in (0, None)
    if policy == "none":
        gate.judge(found, NONE)
    else:
        assert advice(found) == policy
