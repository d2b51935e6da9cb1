import dataclasses
import gc
import itertools
import threading
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import FINE, encode, noise, packets, plain, smooth

from oasis import video
from oasis.video import Tags, join, source, write_segment
from oasis.video.colour import Colour
from oasis.video.target import target


def written(out, about, frames, *, cuts=(), times=None, streams=True, **more):
    """Write frames through segments that begin at the cuts, as an upscaling would."""
    wanted = target(out, about, scale=1, streams=streams, **more)
    parts = []
    for start, stop in itertools.pairwise([0, *cuts, len(frames)]):
        parts.append(out.parent / f"{out.name}-part{start}")
        write_segment(parts[-1], frames[start:stop], wanted)
    join(out, parts, wanted, about, times or [(number, 1) for number in range(len(frames))], streams=streams)
    return parts


def again(path, out, **more):
    """Write a video once more through two segments; return both descriptions and the frames that were read."""
    about = video.describe(path)
    frames = list(source.frames(path))
    times = [(frame.pts, frame.duration) for frame in frames]
    written(out, about, [frame.pixels for frame in frames], cuts=[len(frames) // 2], times=times, **more)
    return about, video.describe(out), frames


def seconds(path):
    about = video.describe(path)
    return [frame.pts * about.time_base for frame in source.frames(path)]


@pytest.mark.parametrize(
    ("name", "codec", "bits"),
    [
        ("o.mp4", "h264", 8),
        ("o.mp4", "h264", 10),
        ("o.mov", "h265", 8),
        ("o.mkv", "h265", 12),
        ("o.mov", "prores", 10),
        ("o.mkv", "ffv1", 8),
    ],
)
def test_joining_changes_no_frame(tmp_path, name, codec, bits):
    parts = written(tmp_path / name, plain(tmp_path, 70, 66, bits=bits), smooth(12, 70, 66, bits), cuts=[1, 5, 6], codec=codec)
    separate = [frame.pixels for part in parts for frame in source.frames(part)]
    joined = [frame.pixels for frame in source.frames(tmp_path / name)]
    assert len(joined) == 12
    assert all(np.array_equal(a, b) for a, b in zip(joined, separate, strict=True))
    # A player that starts anywhere finds every segment's first frame.
    with av.open(str(tmp_path / name)) as container:
        keys = [number for number, packet in enumerate(container.demux(video=0)) if packet.is_keyframe and packet.size]
    assert {0, 1, 5, 6} <= set(keys)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@given(
    tick=st.sampled_from([Fraction(1, 1000), Fraction(1, 90000), Fraction(1001, 24000), Fraction(1, 15360)]),
    steps=st.lists(st.integers(1, 900), min_size=1, max_size=8),
    start=st.integers(0, 50_000),
    data=st.data(),
)
@settings(max_examples=10)
def test_times_are_exact_or_the_nearest_millisecond(tmp_path_factory, suffix, tick, steps, start, data):
    folder = tmp_path_factory.mktemp("times")
    if suffix == ".mkv" and tick < Fraction(1, 1000):
        steps = [100 * step for step in steps]
    times = list(zip(itertools.accumulate(steps, initial=start), [*steps, steps[-1]], strict=False))
    cut = data.draw(st.integers(0, len(times) - 1))
    mean = 1 / (tick * sum(steps) / len(steps))
    about = dataclasses.replace(plain(folder, 2, 2, fps=mean, tick=tick), constant_rate=False)
    written(folder / f"o{suffix}", about, noise(len(times), 2, 2), cuts=[cut] if cut else [], times=times, lossless=True)
    found = seconds(folder / f"o{suffix}")
    wanted = [pts * tick for pts, _ in times]
    if suffix == ".mkv":
        assert all(abs(a - b) <= Fraction(1, 2000) for a, b in zip(found, wanted, strict=True))
        assert found == wanted or tick != Fraction(1, 1000)
    else:
        assert found == wanted
        assert video.describe(folder / f"o{suffix}").frames == len(times)


@pytest.mark.parametrize("fps", [Fraction(24000, 1001), Fraction(30), Fraction(60000, 1001)])
@pytest.mark.parametrize("name", ["o.mkv", "o.mp4", "o.mov"])
def test_a_constant_rate_outlives_the_milliseconds_of_matroska(tmp_path, name, fps):
    written(tmp_path / "a.mkv", plain(tmp_path, 16, 16, fps=fps), noise(20, 16, 16))
    before, about, _ = again(tmp_path / "a.mkv", tmp_path / name)
    assert before.time_base == Fraction(1, 1000)
    assert (about.fps, about.constant_rate) == (fps, True)
    even = [number / fps for number in range(20)]
    assert seconds(tmp_path / name) == (even if name != "o.mkv" else [Fraction(round(1000 * time), 1000) for time in even])


@pytest.mark.parametrize("fps", [Fraction(24000, 1001), Fraction(25), Fraction(60000, 1001)])
@pytest.mark.parametrize("name", ["o.mkv", "o.mp4", "o.mov"])
def test_a_constant_rate_is_kept_as_a_fraction(tmp_path, name, fps):
    written(tmp_path / name, plain(tmp_path, 16, 16, fps=fps), noise(9, 16, 16))
    about = video.describe(tmp_path / name)
    assert (about.fps, about.constant_rate) == (fps, True)


@pytest.mark.parametrize(
    ("before", "sound", "after", "late"),
    [
        *itertools.product(["a.mp4"], ["aac"], ["o.mp4", "o.mkv", "o.mov"], [0, 7]),
        *itertools.product(["a.mkv"], ["flac", "libopus"], ["o.mp4", "o.mkv"], [0, 7]),
        *itertools.product(["a.mov"], ["pcm_s16le"], ["o.mov", "o.mkv"], [0, 7]),
        ("a.mkv", "aac", "o.mov", 7),
        ("a.avi", "pcm_s16le", "o.mp4", 0),  # without times
    ],
)
def test_sound_is_bit_identical_and_in_sync(tmp_path, before, sound, after, late):
    frames = np.stack(smooth(12, 16, 16))
    times = [late + number for number in range(12)]
    settings = FINE if before in ("a.mp4", "a.mov") else {}
    encode(tmp_path / before, frames, times=times, audio=sound, options={"bf": "0"}, settings=settings)
    about, found, shown = again(tmp_path / before, tmp_path / after)
    assert [text.split(",")[0] for text in found.streams] == [text.split(",")[0] for text in about.streams]
    old, new = packets(tmp_path / before, "audio"), packets(tmp_path / after, "audio")
    assert [content for _, content in new] == [content for _, content in old]
    tick = max(Fraction(1, 1000) if "mkv" in after else 0, Fraction(1, 48000))
    # Each time is rounded once.
    apart = [abs((a - b) - (old[0][0] - new[0][0])) for (a, _), (b, _) in zip(old, new, strict=True)]
    assert max(apart) <= 2 * tick
    video_shift = shown[0].pts * about.time_base - seconds(tmp_path / after)[0]
    assert video_shift == 0
    assert abs(old[0][0] - new[0][0]) <= tick / 2
    if not before.endswith("avi"):
        with av.open(str(tmp_path / after)) as container:
            assert container.metadata["title"] == "A title"
            assert container.streams.audio[0].language == "fin"


@pytest.mark.parametrize(
    ("name", "codec", "sound", "late"), [("a.ts", "libx264", "aac", 90_003), ("a.mpg", "mpeg2video", "mp2", 3)]
)
def test_a_clock_that_starts_anywhere_starts_at_0(tmp_path, name, codec, sound, late):
    encode(
        tmp_path / name,
        np.stack(smooth(12, 16, 16)),
        codec=codec,
        times=[late + number for number in range(12)],
        audio=sound,
        options={"bf": "0"},
        settings={"output_ts_offset": "4321.7"},
    )
    about, _, frames = again(tmp_path / name, tmp_path / "o.mp4")
    old, new = packets(tmp_path / name, "audio"), packets(tmp_path / "o.mp4", "audio")
    assert len(new) == len(old)
    assert old[0][0] > 4321
    # The clock starts at the sound; the video follows, an hour later in one of them, as it did.
    apart = frames[0].pts * about.time_base - old[0][0]
    assert apart > Fraction(late, 25) - Fraction(1, 10)
    assert new[0][0] == 0
    assert abs(seconds(tmp_path / "o.mp4")[0] - apart) <= Fraction(1, 48000)


@pytest.mark.parametrize("last", [1, 40, 900])
def test_a_last_frame_of_any_length_can_be_read(tmp_path, last):
    times = [(5, 30), (35, 3), (38, 100), (138, 900), (1038, 10), (1048, last)]
    for name in ("o.mkv", "o.mp4"):
        written(tmp_path / name, plain(tmp_path, 16, 16, tick=Fraction(1, 1000)), noise(6, 16, 16), times=times)
        tick = video.describe(tmp_path / name).time_base
        found = [(frame.pts * tick * 1000, frame.duration * tick * 1000) for frame in source.frames(tmp_path / name)]
        assert found == (times if name == "o.mp4" else [*times[:-1], (1048, 40)])  # Matroska knows the mean rate


def test_one_frame_is_a_video(tmp_path):
    for name in ("o.mkv", "o.mp4", "o.mov", "o"):
        written(tmp_path / name, plain(tmp_path, 16, 16), noise(1, 16, 16), times=[(3, 2)])
        assert video.describe(tmp_path / name).frames in (1, None)
        assert len(list(source.frames(tmp_path / name))) == 1


def test_subtitles_and_chapters_come_along(tmp_path):
    encode(tmp_path / "a.mkv", np.stack(smooth(6, 16, 16)))
    with av.open(str(tmp_path / "a.mkv")) as before, av.open(str(tmp_path / "b.mkv"), "w") as after:
        stream = after.add_stream_from_template(before.streams.video[0])
        text = after.add_mux_stream("subrip", time_base=Fraction(1, 1000))
        after.set_chapters([{"id": 1, "start": 0, "end": 100, "time_base": Fraction(1, 1000), "metadata": {"title": "One"}}])
        for packet in before.demux(video=0):
            if packet.size:
                packet.stream = stream
                after.mux(packet)
        line = av.Packet(b"Hello")
        line.pts = line.dts = 80
        line.duration, line.time_base, line.stream = 120, Fraction(1, 1000), text
        after.mux(line)
    about, found, _ = again(tmp_path / "b.mkv", tmp_path / "o.mkv")
    assert about.streams == found.streams == ("stream 1: subtitle subrip",)
    assert packets(tmp_path / "o.mkv", "subtitle") == [(Fraction(2, 25), b"Hello")]
    with av.open(str(tmp_path / "o.mkv")) as container:
        assert [chapter["metadata"]["title"] for chapter in container.chapters()] == ["One"]
    with pytest.raises(ValueError, match=r"\.mp4 cannot carry stream 1: subtitle subrip; \.mkv can"):
        target(tmp_path / "o.mp4", about, scale=1)
    again(tmp_path / "b.mkv", tmp_path / "o.mp4", streams=False)
    assert video.describe(tmp_path / "o.mp4").streams == ()


@pytest.mark.parametrize(
    ("name", "codec"), [("o.mp4", "h264"), ("o.mkv", "h264"), ("o.mov", "prores"), ("o.mp4", "h265"), ("o.mkv", "ffv1")]
)
@pytest.mark.parametrize("tags", [Tags(9, 9, 16, 1), Tags(1, 1, 1, 1), Tags(6, 6, 6, 1), Tags(9, 9, 18, 2)])
def test_tags_and_the_proportion_of_a_pixel_are_stored(tmp_path, name, codec, tags):
    yuv = Colour(pixels="yuv420p10le", matrix=video.Colorspace.BT2020, full_range=tags.range == 2)
    aspect = Fraction(1 if codec == "ffv1" else Fraction(4, 3))
    about = plain(tmp_path, 64, 66, bits=10, tags=tags, colour=yuv, pixel_aspect=aspect)
    written(tmp_path / name, about, smooth(2, 64, 66, 10), codec=codec)
    found = video.describe(tmp_path / name)
    assert found.pixel_aspect == aspect
    if codec == "ffv1":
        assert (found.tags.primaries, found.tags.transfer) == (tags.primaries, tags.transfer)
    else:
        assert found.tags == (tags._replace(range=1) if codec == "prores" else tags)


@pytest.mark.parametrize(("name", "codec", "bits"), [("o.mov", "prores", 10), ("o.mp4", "h264", 8), ("o.mp4", "h264", 10)])
@pytest.mark.parametrize("tags", [Tags(9, 9, 16, 1), Tags(5, 2, 2, 1), Tags(1, 1, 1, 2)])
def test_colours_survive_luma_and_chroma(tmp_path, name, codec, bits, tags):
    # Flat frames, so that neither transform nor chroma loses anything but the rounding of levels, and of the one coefficient
    # that is not 0, which at these rates is stepped finer than a level.
    yuv = Colour(pixels="yuv420p10le", matrix=video.Colorspace.BT2020, full_range=tags.range == 2)
    about = plain(tmp_path, 32, 32, bits=bits, tags=tags, colour=yuv)
    flat = [np.full((32, 32, 3), colour, np.uint16) * 257 for colour in ((200, 90, 30), (20, 180, 220), (128, 128, 128))]
    written(tmp_path / name, about, flat, codec=codec, **({} if codec == "prores" else {"crf": 0}))
    levels = (255 / 219 + 1.9 * 255 / 224) / 2 / 2 ** ((10 if codec == "prores" else bits) - 8)
    for frame, wanted in zip(source.frames(tmp_path / name), flat, strict=True):
        found = frame.pixels.astype(float) / (1 if frame.pixels.dtype == np.uint8 else 257)
        # Twice: chroma is rounded again when its resolution is halved and doubled; then a level of what is read.
        assert np.abs(found - wanted / 257).max() <= 2 * levels + 0.5


def test_a_turned_video_becomes_an_upright_one(tmp_path):
    encode(tmp_path / "a.mp4", np.stack(smooth(4, 16, 32)), prepare=lambda stream: stream.set_display_rotation(90))
    about, found, frames = again(tmp_path / "a.mp4", tmp_path / "o.mkv")
    assert (about.rotation, found.rotation, found.height, found.width) == (270, 0, 32, 16)
    assert all(np.array_equal(a, b.pixels) for a, b in zip(video.arrays(tmp_path / "o.mkv"), frames, strict=True))


def test_png_are_put_in_order_and_old_ones_go(tmp_path):
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / "00000007.png").touch()
    frames = noise(5, 3, 5)
    parts = written(tmp_path / "o", plain(tmp_path, 3, 5), frames, cuts=[2, 3])
    assert sorted(entry.name for entry in (tmp_path / "o").iterdir()) == [f"{number:08d}.png" for number in range(5)]
    assert all(np.array_equal(a, b) for a, b in zip(video.arrays(tmp_path / "o"), frames, strict=True))
    assert [video.segment_frames(part) for part in parts] == [2, 1, 2]


def refusal_of(tmp_path, name, spoil, says):
    about = plain(tmp_path, 16, 16)
    wanted = target(tmp_path / name, about, scale=1)
    parts = [tmp_path / "a", tmp_path / "b"]
    for part in parts:
        write_segment(part, noise(2, 16, 16), wanted)
    times = [(number, 1) for number in range(4)]
    arguments = spoil(parts, times, about)
    (tmp_path / name).write_bytes(b"before")
    with pytest.raises(ValueError, match=says) as refusal:
        join(
            tmp_path / name, arguments.get("parts", parts), wanted, arguments.get("about", about), arguments.get("times", times)
        )
    assert "\n" not in str(refusal.value)
    assert (tmp_path / name).read_bytes() == b"before"
    assert sorted(entry.name for entry in tmp_path.iterdir() if entry.name != "c") == ["a", "b", name]


def other(parts, times, about):
    write_segment(parts[1], noise(2, 16, 16), target(parts[1].parent / "c.mkv", plain(about.path, 16, 16, bits=10), scale=1))
    return {}


def cut(parts, times, about):
    parts[1].write_bytes(parts[1].read_bytes()[:-50])
    return {}


@pytest.mark.parametrize(
    ("name", "spoil", "says"),
    [
        ("o.mkv", other, "b: encoded with other settings than a; make all segments again"),
        ("o.mp4", other, "b: encoded with other settings than a; make all segments again"),
        ("o.mkv", cut, "b: cut off"),
        ("o.mkv", lambda parts, times, about: {"times": times[:3]}, r"o\.mkv: the segments hold more frames than the 3"),
        ("o.mp4", lambda parts, times, about: {"times": [*times, (9, 1)]}, r"the segments hold 4 frames, 5 have a time"),
        (
            "o.mp4",
            lambda parts, times, about: {"times": times[:2] + times[:2]},
            "frame 2 is shown at time 0, which is not after 1",
        ),
        ("o.mp4", lambda parts, times, about: {"parts": [], "times": []}, "a video without frames cannot be written"),
        (
            "o.mkv",
            lambda parts, times, about: {"about": dataclasses.replace(about, time_base=Fraction(1, 9000))},
            "less than 1 ms apart",
        ),
        (
            "o.mp4",
            lambda parts, times, about: {"about": dataclasses.replace(about, time_base=Fraction(1, 2**31))},
            "cannot be stored in MP4",
        ),
    ],
)
def test_what_cannot_be_joined_is_refused_and_leaves_what_was(tmp_path, name, spoil, says):
    refusal_of(tmp_path, name, spoil, says)


def test_an_interrupted_join_leaves_nothing(tmp_path, monkeypatch):
    encode(tmp_path / "a.mp4", np.stack(smooth(6, 16, 16)), audio="aac")
    muxed = itertools.count()
    real = video.segments.packets

    def stops(path):
        for packet in real(path):
            if next(muxed) == 4:
                raise KeyboardInterrupt
            yield packet

    monkeypatch.setattr(video.segments, "packets", stops)
    with pytest.raises(KeyboardInterrupt):
        again(tmp_path / "a.mp4", tmp_path / "o.mp4")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.mp4", "o.mp4-part0", "o.mp4-part3"]


class Resident(threading.Thread):
    """Watch how much memory this process holds while a block runs."""

    def __enter__(self):
        self.least, self.most, self.over = self.now(), 0, threading.Event()
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()

    def run(self):
        while not self.over.wait(0.005):
            self.most = max(self.most, self.now() - self.least)

    def now(self):
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * 4096


@pytest.mark.parametrize("name", ["o.mkv", "o.mp4"])
def test_memory_does_not_grow_with_the_number_of_frames(tmp_path, name):
    # Sound that ends at once: the muxer would hold 10 s of video back to see whether more comes.
    sound = encode(tmp_path / "short.mkv", np.stack(smooth(4, 16, 16)), audio="flac")
    about = plain(sound, 64, 64, fps=Fraction(1000))
    wanted = target(tmp_path / name, about, scale=1)
    image = noise(1, 64, 64)[0]
    write_segment(tmp_path / "part", itertools.repeat(image, 200), wanted)

    def once(parts):
        join(tmp_path / name, [tmp_path / "part"] * parts, wanted, about, [(number, 1) for number in range(200 * parts)])
        assert sum(1 for _ in source.frames(tmp_path / name)) == 200 * parts

    once(1)
    gc.collect()
    gc.disable()
    try:
        with Resident() as watched:
            once(10)
        # 2,000 frames are 25 MB as pixels.
        assert watched.most < 8e6
        assert sum(isinstance(each, (av.Packet, av.VideoFrame)) for each in gc.get_objects()) <= 16
    finally:
        gc.enable()
