import gc
import itertools
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import FINE, GREY, encode, noise
from odd import BROKEN, READ, REFUSED

from oasis import video
from oasis.video import source


def times_of(path):
    about = video.describe(path)
    return [(frame.pts * about.time_base, frame.duration * about.time_base) for frame in source.frames(path)]


@pytest.mark.parametrize(
    ("name", "tick"), [("a.mp4", Fraction(1, 90000)), ("a.mkv", Fraction(1, 1000)), ("a.mov", Fraction(1, 600))]
)
@given(steps=st.lists(st.integers(1, 500), min_size=2, max_size=8), start=st.integers(0, 700))
@settings(max_examples=12)
def test_times_are_as_stored_and_a_frame_lasts_until_the_next(tmp_path_factory, name, tick, steps, start):
    path = tmp_path_factory.mktemp("times") / name
    times = list(itertools.accumulate(steps, initial=start))
    encode(
        path,
        noise(len(times), 16, 16),
        times=times,
        tick=tick,
        options={"preset": "ultrafast"},
        settings={} if "mkv" in name else FINE,
    )
    about = video.describe(path)
    found = times_of(path)
    assert [pts for pts, _ in found] == [time * tick for time in times]
    assert [duration for _, duration in found[:-1]] == [step * tick for step in steps]
    assert found[-1][1] > 0
    assert (about.height, about.width, about.bits, about.codec) == (16, 16, 8, "h264")


def test_what_has_no_times_is_numbered(tmp_path):
    encode(tmp_path / "raw.264", kind="h264")
    assert times_of(tmp_path / "raw.264") == [(Fraction(n, 25), Fraction(1, 25)) for n in range(4)]
    (tmp_path / "png").mkdir()
    for number in range(3):
        av.VideoFrame.from_ndarray(GREY[number], format="rgb24").to_image().save(tmp_path / f"png/{number:03d}.png")
    about = video.describe(tmp_path / "png", fps=Fraction(30000, 1001))
    assert (about.fps, about.time_base, about.frames, about.streams) == (Fraction(30000, 1001), Fraction(1001, 30000), 3, ())
    assert (about.constant_rate, about.tags, about.bits) == (True, video.Tags(2, 2, 2, 0), 8)
    assert [(frame.pts, frame.duration) for frame in source.frames(tmp_path / "png")] == [(0, 1), (1, 1), (2, 1)]


MATRICES = [[a, b, c, d] for a, d in itertools.product((1, -1), repeat=2) for b, c in [(0, 0)]]
MATRICES += [[0, b, c, 0] for b, c in itertools.product((1, -1), repeat=2)]


@pytest.mark.parametrize("matrix", MATRICES, ids=str)
def test_frames_are_turned_and_mirrored_as_a_player_does_it(tmp_path, matrix):
    a, b, c, d = matrix
    fixed = [a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30]
    images = noise(2, 6, 10)
    path = encode(
        tmp_path / "phone.mp4",
        images,
        codec="libx264rgb",
        pixels="rgb24",
        options={"qp": "0"},
        prepare=lambda stream: stream.set_display_matrix(fixed),
    )
    about = video.describe(path)
    found = [frame.pixels for frame in source.frames(path)]
    # Where a player puts the pixel in column p and row q, moved so that the least is 0.
    q, p = np.indices((6, 10))
    x, y = a * p + c * q, b * p + d * q
    wanted = np.zeros_like(found[0])
    wanted[y - y.min(), x - x.min()] = images[0]
    assert np.array_equal(found[0], wanted)
    assert (about.height, about.width) == wanted.shape[:2]
    mirrored = a * d - b * c < 0
    assert about.mirrored == mirrored
    stored = images[0][:, ::-1] if mirrored else images[0]
    assert np.array_equal(np.rot90(stored, -about.rotation // 90), wanted)
    if about.rotation or mirrored:
        with pytest.raises(ValueError, match="to be turned or mirrored"):
            next(video.arrays(path))


def test_other_angles_are_refused(tmp_path):
    path = encode(tmp_path / "tilted.mp4", prepare=lambda stream: stream.set_display_rotation(30))
    for ask in (video.describe, lambda path: next(source.frames(path))):
        with pytest.raises(ValueError, match=r"tilted\.mp4: frame 0: to be turned by an angle that is no multiple of 90"):
            ask(path)


def test_a_pixel_that_is_not_square_turns_with_its_frame(tmp_path):
    def wide(stream):
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        stream.set_display_rotation(90)

    assert video.describe(encode(tmp_path / "wide.mp4", prepare=wide)).pixel_aspect == Fraction(3, 4)


def test_times_that_do_not_increase_are_refused(tmp_path):
    encode(tmp_path / "a.mkv", codec="ffv1", pixels="bgr0")
    with av.open(str(tmp_path / "a.mkv")) as before, av.open(str(tmp_path / "b.mkv"), "w") as after:
        stream = after.add_stream_from_template(before.streams.video[0])
        for packet in before.demux(before.streams.video[0]):
            if packet.size:
                packet.pts = packet.dts = min(packet.pts, 80)
                packet.stream = stream
                after.mux(packet)
    with pytest.raises(ValueError, match=r"b\.mkv: frame 3 is shown at time 80, which is not after 80"):
        list(source.frames(tmp_path / "b.mkv"))


def test_10_bits_stay_apart(tmp_path):
    images = noise(2, 8, 32, bits=10)
    path = encode(tmp_path / "deep.mkv", images, codec="ffv1", pixels="gbrp10le")
    assert video.describe(path).bits == 10
    for frame, image in zip(source.frames(path), images, strict=True):
        assert frame.pixels.dtype == np.uint16
        # swscale made the file: it cuts 16 bits to 10, so every level comes back.
        assert np.array_equal(np.rint(frame.pixels * (1023 / 65535)), image >> 6)


def test_frames_that_were_passed_do_not_wait_for_the_garbage_collector(tmp_path):
    path = encode(tmp_path / "clip.mp4", np.repeat(GREY, 8, axis=0))
    gc.collect()
    gc.disable()
    try:
        frames = source.frames(path)
        for _ in range(25):
            next(frames)
        assert sum(type(each) is av.VideoFrame for each in gc.get_objects()) <= 8
    finally:
        gc.enable()


@pytest.mark.parametrize("name", READ)
def test_odd_inputs_are_read(tmp_path, name):
    path = encode(tmp_path / name, **READ[name])
    about = video.describe(path)
    found = list(source.frames(path))
    images = READ[name].get("images", GREY)
    assert len(found) == len(images)
    assert {frame.pixels.shape for frame in found} == {(about.height, about.width, 3)} == {(*images.shape[1:3], 3)}
    assert found[0].pixels.dtype == (np.uint8 if about.bits == 8 else np.uint16)
    assert all(after.pts == before.pts + before.duration for before, after in itertools.pairwise(found))
    assert about.interlaced == ("interlaced" in name)
    assert found[0].pts == 0 or not name.endswith("avi")
    assert len(about.streams) == ("sound" in name)


@pytest.mark.parametrize("name", REFUSED)
def test_odd_inputs_are_refused_in_a_sentence(tmp_path, name):
    path = encode(tmp_path / name, **REFUSED[name][0])
    with pytest.raises(ValueError, match=REFUSED[name][1]) as refusal:
        list(source.frames(path))
    assert str(refusal.value).startswith(f"{path}: ")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_whole_video_is_refused_in_a_sentence(tmp_path, name):
    BROKEN[name](tmp_path / name)
    for ask in (video.describe, lambda path: list(source.frames(path))):
        with pytest.raises(ValueError, match=name.replace(".", r"\.")) as refusal:
            ask(tmp_path / name)
        assert "\n" not in str(refusal.value)
