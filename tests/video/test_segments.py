import os
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import encode, noise, plain, smooth

from oasis import video
from oasis.video import segment_frames, source, write_segment
from oasis.video.target import target

# Container, codec, bits; all lossless.
LOSSLESS = [(".mkv", None, 8), (".mkv", None, 10), (".mkv", None, 12), (".mkv", None, 16), (".mp4", "h264", 8), ("", None, 8)]
LOSSLESS += [("", None, 16)]


def pixels(path):
    return [frame.pixels for frame in source.frames(path)]


@given(
    st.sampled_from(LOSSLESS),
    st.tuples(st.integers(1, 20), st.integers(1, 40)) | st.sampled_from([(1, 1), (2, 1), (1, 2), (1, 500), (2, 3000)]),
    st.lists(st.integers(1, 5), min_size=1, max_size=4),
    st.integers(0, 99),
)
@settings(max_examples=40)
def test_cuts_leave_no_trace_where_nothing_is_lost(tmp_path_factory, kind, size, lengths, seed):
    suffix, codec, bits = kind
    folder = tmp_path_factory.mktemp("cuts")
    about = plain(folder, *size, bits=bits)
    wanted = target(folder / f"o{suffix}", about, scale=1, codec=codec, lossless=True)
    frames = noise(sum(lengths), *size, bits, seed)
    parts, rest = [], iter(frames)
    for number, length in enumerate(lengths):
        parts.append(folder / f"part{number}")
        assert write_segment(parts[-1], (next(rest) for _ in range(length)), wanted) == length == segment_frames(parts[-1])
    video.join(folder / f"o{suffix}", parts, wanted, about, [(number, 1) for number in range(len(frames))])
    found = pixels(folder / f"o{suffix}")
    assert len(found) == len(frames)
    depth = 16 if suffix == "" and bits > 8 else bits
    assert video.describe(folder / f"o{suffix}").bits == depth
    assert all(np.array_equal(a, b) for a, b in zip(found, frames, strict=True))


def test_h265_loses_nothing_at_10_bits(tmp_path):
    about = plain(tmp_path, 65, 67, bits=10)
    wanted = target(tmp_path / "o.mp4", about, scale=1, codec="h265", lossless=True)
    frames = noise(3, 65, 67, 10)
    write_segment(tmp_path / "part", frames, wanted)
    assert all(np.array_equal(a, b) for a, b in zip(pixels(tmp_path / "part"), frames, strict=True))


def test_depth_is_rounded_or_stretched_to_what_the_target_holds(tmp_path):
    deep = noise(1, 8, 32, 16)
    write_segment(tmp_path / "a", deep, target(tmp_path / "o.mkv", plain(tmp_path, 8, 32), scale=1))
    assert np.array_equal(pixels(tmp_path / "a")[0], np.rint(deep[0] / 257))
    write_segment(tmp_path / "b", deep, target(tmp_path / "o.mkv", plain(tmp_path, 8, 32, bits=10), scale=1))
    assert np.abs(pixels(tmp_path / "b")[0] - deep[0].astype(float)).max() <= 65535 / 1023 / 2 + 0.5
    flat = noise(1, 8, 32, 8)
    write_segment(tmp_path / "c", flat, target(tmp_path / "o.mkv", plain(tmp_path, 8, 32, bits=16), scale=1))
    assert np.array_equal(pixels(tmp_path / "c")[0], flat[0].astype(int) * 257)


@pytest.mark.parametrize(
    ("name", "codec", "bits"), [("o.mp4", "h264", 8), ("o.mp4", "h265", 10), ("o.mkv", "ffv1", 8), ("o.mov", "prores", 10)]
)
def test_bytes_do_not_depend_on_the_number_of_cores(tmp_path, name, codec, bits):
    wanted = target(tmp_path / name, plain(tmp_path, 256, 128, bits=bits), scale=1, codec=codec)
    frames = noise(6, 256, 128)
    cores = os.sched_getaffinity(0)
    write_segment(tmp_path / "all", frames, wanted)
    try:
        os.sched_setaffinity(0, {min(cores)})
        write_segment(tmp_path / "one", frames, wanted)
    finally:
        os.sched_setaffinity(0, cores)
    assert (tmp_path / "all").read_bytes() == (tmp_path / "one").read_bytes()


@pytest.mark.parametrize("name", ["o.mkv", "o.mp4", "o"])
def test_a_segment_is_whole_or_absent(tmp_path, name):
    wanted = target(tmp_path / name, plain(tmp_path, 16, 16), scale=1)

    def stops():
        yield from noise(3, 16, 16)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_segment(tmp_path / "part", stops(), wanted)
    assert list(tmp_path.iterdir()) == []
    write_segment(tmp_path / "part", noise(3, 16, 16), wanted)
    write_segment(tmp_path / "part", noise(2, 16, 16), wanted)
    assert segment_frames(tmp_path / "part") == 2
    assert [entry.name for entry in tmp_path.iterdir()] == ["part"]


@pytest.mark.parametrize(
    ("frames", "says"),
    [
        ([], "a segment without frames cannot be written"),
        ([np.zeros((16, 17, 3), np.uint8)], r"frame 0 is uint8 of shape \(16, 17, 3\); needed: .*\(16, 16, 3\)"),
        ([np.zeros((16, 16, 3), np.float32)], "frame 0 is float32"),
    ],
)
@pytest.mark.parametrize("name", ["o.mkv", "o"])
def test_frames_that_do_not_fit_are_refused(tmp_path, name, frames, says):
    with pytest.raises(ValueError, match=says):
        write_segment(tmp_path / "part", frames, target(tmp_path / name, plain(tmp_path, 16, 16), scale=1))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["o.mkv", "o.mp4", "o.mov"])
def test_damage_to_a_segment_is_found(tmp_path, name):
    part = tmp_path / "part"
    write_segment(part, smooth(5, 32, 32), target(tmp_path / name, plain(tmp_path, 32, 32), scale=1))
    whole = part.read_bytes()
    generator = random.Random(0)
    for length in generator.sample(range(len(whole)), 40):
        part.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="part: "):
            segment_frames(part)
    start = whole.index(b"\x1f\x43\xb6\x75") + 20  # inside the frames
    for place in generator.sample(range(start, len(whole) - 200), 40):
        part.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << generator.randrange(8)]) + whole[place + 1 :])
        with pytest.raises(ValueError, match="part: "):
            segment_frames(part)


def test_what_is_no_segment_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="none: no such file"):
        segment_frames(tmp_path / "none")
    encode(tmp_path / "a.mp4")
    with pytest.raises(ValueError, match=r"a\.mp4: not a segment but mov"):
        segment_frames(tmp_path / "a.mp4")
    write_segment(tmp_path / "part", noise(3, 16, 16), target(tmp_path / "o", plain(tmp_path, 16, 16), scale=1))
    (tmp_path / "part" / "00000001.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"00000001\.png: not a PNG"):
        segment_frames(tmp_path / "part")
