import gc
import os
import resource
import struct
import weakref
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from oasis import video

GREY = np.arange(4, dtype=np.uint8)[:, None, None, None] * 40 + np.zeros((48, 64, 3), np.uint8)


def encode(path, frames=GREY, *, codec="libx264", pixels="yuv420p", kind=None, times=None, prepare=None, **options):
    """Write RGB frames with settings that `video.write` does not have."""
    with av.open(str(path), "w", format=kind) as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], pixels
        if prepare:
            prepare(stream)
        for number, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24" if image.shape[2] == 3 else "rgba").reformat(format=pixels)
            frame.pts, frame.time_base = times[number] if times else number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(path, samples, *, bits=8, kind=2, extra=b""):
    """Write rows of bytes or 16-bit samples as a PNG of any kind: 0 grey, 2 RGB, 3 palette, 4 grey + alpha, 6 RGBA."""
    height, width = samples.shape[:2]
    rows = samples.astype(">u2" if bits == 16 else np.uint8).reshape(height, -1)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    width = width * 8 // bits if bits < 8 else width
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", data) + chunk(b"IEND", b""))


def only(path):
    (found,) = video.arrays(path)
    return found


def test_arrays_streams_and_counts_agree(tmp_path):
    for name in ("a.mp4", "a.mkv", "a"):
        video.write(tmp_path / name, torch.from_numpy(GREY).permute(0, 3, 1, 2), 25)
        arrays = list(video.arrays(tmp_path / name))
        assert all(
            a.dtype == np.uint8 and a.shape == (48, 64, 3) and a.flags.c_contiguous and a.flags.writeable for a in arrays
        )
        streamed = [frame.permute(1, 2, 0).numpy() for frame in video.stream(tmp_path / name)]
        assert len(arrays) == video.count(tmp_path / name) == 4
        assert np.array_equal(arrays, streamed)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a"])
def test_frames_that_were_passed_are_not_kept(tmp_path, name):
    video.write(tmp_path / name, torch.zeros(30, 3, 16, 16, dtype=torch.uint8), 25)
    seen = []
    for frame in video.arrays(tmp_path / name):
        seen.append(weakref.ref(frame))
        del frame
        assert sum(reference() is not None for reference in seen) <= 2
    assert len(seen) == 30


def test_decoded_frames_do_not_wait_for_the_garbage_collector(tmp_path):
    path = encode(tmp_path / "clip.mp4", np.repeat(GREY, 8, axis=0))
    gc.collect()
    gc.disable()
    try:
        frames = video.arrays(path)
        for _ in range(25):
            next(frames)
        alive = sum(type(each) is av.VideoFrame for each in gc.get_objects())
        assert alive <= 8, alive  # a decoder may give several at a time
    finally:
        gc.enable()


def test_a_clip_says_how_long_it_is_and_what_decodes_it(tmp_path):
    for name, frames, decoder in (("a.mp4", 4, "h264 (PyAV"), ("a.mkv", None, "ffv1 (PyAV"), ("a", 4, "png (PyAV")):
        video.write(tmp_path / name, torch.from_numpy(GREY).permute(0, 3, 1, 2), 25)
        about = video.info(tmp_path / name)
        assert about.frames == frames
        assert about.decoder.startswith(decoder)
        assert "libavcodec" in about.decoder
        assert (about.constant_rate, about.pixel_aspect, about.interlaced) == (True, 1, False)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_changing_rate_is_said_and_frames_are_taken_by_number(tmp_path, suffix):
    path = encode(tmp_path / f"clip{suffix}", times=[0, 1, 5, 6])
    assert not video.info(path).constant_rate
    assert [round(float(frame.mean()) / 40) for frame in video.arrays(path)] == [0, 1, 2, 3]
    # 23.976 per second in whole milliseconds, as Matroska stores it, is constant.
    video.write(tmp_path / "film.mkv", torch.zeros(9, 3, 16, 16, dtype=torch.uint8), Fraction(24000, 1001))
    assert video.info(tmp_path / "film.mkv").constant_rate


def test_interlaced_frames_and_pixels_that_are_not_square_are_said(tmp_path):
    assert video.info(encode(tmp_path / "fields.mp4", **{"x264-params": "tff=1"})).interlaced
    assert video.count(tmp_path / "fields.mp4") == 4

    def wide(stream):
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)

    about = video.info(encode(tmp_path / "wide.mp4", prepare=wide))
    assert (about.pixel_aspect, about.width) == (Fraction(4, 3), 64)


@pytest.mark.parametrize(
    "matrix",
    [
        [0, 1, 0, -1, 0, 0, 48, 0, 1],
        [-1, 0, 0, 0, -1, 0, 64, 48, 1],
        [-1, 0, 0, 0, 1, 0, 64, 0, 1],
        [1, 0, 0, 0, -1, 0, 0, 48, 1],
    ],
    ids=["quarter turn", "half turn", "left to right", "upside down"],
)
def test_frames_that_a_player_turns_are_refused(tmp_path, matrix):
    fixed = [value << (30 if number % 3 == 2 else 16) for number, value in enumerate(matrix)]
    path = encode(tmp_path / "phone.mp4", prepare=lambda stream: stream.set_display_matrix(fixed))
    with pytest.raises(ValueError, match=r"phone\.mp4: to be turned or mirrored for display"):
        list(video.arrays(path))


def test_a_size_that_changes_inside_a_stream_is_refused(tmp_path):
    encode(tmp_path / "a.264", kind="h264")
    encode(tmp_path / "b.264", GREY[:, :32], kind="h264")
    (tmp_path / "both.264").write_bytes((tmp_path / "a.264").read_bytes() + (tmp_path / "b.264").read_bytes())
    with pytest.raises(ValueError, match=r"both\.264: damaged, or two clips: 64x48 yuv420p before frame 4, then 64x32 yuv420p"):
        list(video.arrays(tmp_path / "both.264"))


def test_one_video_per_file(tmp_path):
    with av.open(str(tmp_path / "two.mkv"), "w") as container:
        for _ in range(2):
            stream = container.add_stream("ffv1", rate=25)
            stream.height, stream.width, stream.pix_fmt = 16, 16, "bgr0"
        container.start_encoding()
        for stream in container.streams.video:
            frame = av.VideoFrame(16, 16, "bgr0")
            frame.pts, frame.time_base = 0, Fraction(1, 25)
            container.mux([*stream.encode(frame), *stream.encode(None)])
    with pytest.raises(ValueError, match=r"two\.mkv: it holds 2 videos; one per file"):
        video.count(tmp_path / "two.mkv")


def test_content_decides_not_the_name(tmp_path, monkeypatch):
    encode(tmp_path / "a.mp4")
    (tmp_path / "a.mp4").rename(tmp_path / "odd:name.mkv")
    monkeypatch.chdir(tmp_path)
    assert video.count("odd:name.mkv") == 4
    Image.fromarray(GREY[1]).save(tmp_path / "picture.png")
    (tmp_path / "picture.png").rename(tmp_path / "picture.mp4")
    with pytest.raises(ValueError, match=r"picture\.mp4: not a video but a PNG picture"):
        video.info(tmp_path / "picture.mp4")
    Image.fromarray(GREY[1]).save(tmp_path / "photo.jpg")
    with pytest.raises(ValueError, match=r"photo\.jpg: not a video but a JPEG picture"):
        video.count(tmp_path / "photo.jpg")
    # A playlist would make FFmpeg read other files.
    (tmp_path / "list.mp4").write_text(f"ffconcat version 1.0\nfile '{tmp_path}/odd:name.mkv'\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"list\.mp4: not a video"):
        video.count(tmp_path / "list.mp4")


@pytest.mark.parametrize("ask", [video.info, video.count, video.read, lambda path: next(video.arrays(path))])
def test_what_cannot_be_read_is_said(tmp_path, monkeypatch, ask):
    (tmp_path / "nothing.mkv").write_bytes(b"")
    with pytest.raises(ValueError, match=r"nothing\.mkv: not a video: the file is empty"):
        ask(tmp_path / "nothing.mkv")
    with pytest.raises(FileNotFoundError, match=r"none\.mp4: no such file or folder"):
        ask(tmp_path / "none.mp4")
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(ValueError, match=r"pipe\.mp4: neither a file nor a folder"):
        ask(tmp_path / "pipe.mp4")
    encode(tmp_path / "locked.mp4")
    (tmp_path / "closed").mkdir()

    def refuse(*_args, **_named):
        raise PermissionError(13, "Permission denied")

    # For the superuser, who runs many tests, permissions do not count.
    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(ValueError, match=r"locked\.mp4: cannot be read \(Permission denied\)"):
        ask(tmp_path / "locked.mp4")
    with pytest.raises(ValueError, match=r"closed: the folder cannot be read \(Permission denied\)"):
        ask(tmp_path / "closed")


def test_a_folder_takes_png_only_and_passes_over_what_is_no_picture(tmp_path):
    for name in ("Thumbs.db", ".DS_Store", "._0.png", "notes.txt"):
        (tmp_path / name).write_bytes(b"?")
    with pytest.raises(ValueError, match="a folder without PNG frames"):
        video.count(tmp_path)
    Image.fromarray(GREY[0]).save(tmp_path / "0.bmp")
    with pytest.raises(ValueError, match=r"frames must be PNG, found 0\.bmp: convert BMP to PNG"):
        video.count(tmp_path)
    (tmp_path / "0.bmp").unlink()
    Image.fromarray(GREY[0]).save(tmp_path / "0.JPG")
    with pytest.raises(ValueError, match=r"frames must be PNG, found 0\.JPG: JPEG is lossy"):
        video.count(tmp_path)
    Image.fromarray(GREY[1]).save(tmp_path / "1.png")
    with pytest.raises(ValueError, match=r"it holds PNG and other pictures, such as 0\.JPG"):
        video.count(tmp_path)
    (tmp_path / "0.JPG").rename(tmp_path / "0.png")
    with pytest.raises(ValueError, match=r"0\.png: not a PNG"):
        video.count(tmp_path)
    (tmp_path / "0.png").unlink()
    (tmp_path / "0.PNG").symlink_to(tmp_path / "1.png")
    assert [int(frame.max()) for frame in video.arrays(tmp_path)] == [40, 40]
    (tmp_path / "2.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(ValueError, match=r"2\.png: cannot be read \(No such file"):
        video.count(tmp_path)
    (tmp_path / "2.png").unlink()
    (tmp_path / "20240101123000.png").write_bytes(b"")
    with pytest.raises(ValueError, match="frame number 2 is missing"):
        video.count(tmp_path)


@pytest.mark.parametrize(
    ("kind", "channels", "name"), [(0, 1, "gray16be"), (2, 3, "rgb48be"), (4, 2, "ya16be"), (6, 4, "rgba64be")]
)
def test_16_bits_are_rounded_to_8(tmp_path, kind, channels, name):
    samples = np.arange(65536).reshape(256, 256, 1) ^ (np.arange(channels) * 257)
    if kind >= 4:
        samples[..., -1] = 65535
    png(tmp_path / "0.png", samples, bits=16, kind=kind)
    assert video.info(tmp_path).colour == video.Colour(pixels=name, matrix=None, full_range=True)
    wanted = np.rint(samples[..., : 3 if channels > 2 else 1] / 257)
    assert np.array_equal(only(tmp_path), np.broadcast_to(wanted, (256, 256, 3)))


@pytest.mark.parametrize("kind", ["1", "L", "P", "RGB", "RGBA", "LA"])
def test_pictures_of_8_bits_and_less_are_those_of_pillow(tmp_path, kind):
    noise = np.random.default_rng(0).integers(0, 256, (17, 33, 3), dtype=np.uint8)
    Image.fromarray(noise).convert(kind).save(tmp_path / "0.png")
    with Image.open(tmp_path / "0.png") as picture:
        assert picture.mode == kind
        assert np.array_equal(only(tmp_path), np.array(picture.convert("RGB")))


def test_transparent_pixels_are_refused(tmp_path):
    samples = np.full((4, 4, 4), 255)
    samples[3, 3, 3] = 254
    png(tmp_path / "0.png", samples, kind=6)
    with pytest.raises(ValueError, match="frame 0: it has transparent pixels"):
        only(tmp_path)
    png(tmp_path / "0.png", samples * 257, bits=16, kind=6)
    with pytest.raises(ValueError, match="frame 0: it has transparent pixels"):
        only(tmp_path)
    # A palette and one colour of RGB may be transparent too.
    colours = chunk(b"PLTE", bytes(range(6))) + chunk(b"tRNS", b"\x07")
    png(tmp_path / "0.png", np.zeros((4, 4, 1)), kind=3, extra=colours)
    with pytest.raises(ValueError, match="frame 0: it has transparent pixels"):
        only(tmp_path)
    png(tmp_path / "0.png", np.full((4, 4, 3), 9), extra=chunk(b"tRNS", b"\0\x09" * 3))
    with pytest.raises(ValueError, match="frame 0: it has transparent pixels"):
        only(tmp_path)


@pytest.mark.parametrize(
    ("codec", "pixels", "suffix"), [("ffv1", "bgra", ".mkv"), ("ffv1", "yuva420p", ".mkv"), ("ffv1", "gbrap10le", ".mkv")]
)
def test_alpha_in_a_video_is_dropped_if_opaque_and_refused_if_not(tmp_path, codec, pixels, suffix):
    frames = np.concatenate([GREY, np.full((4, 48, 64, 1), 255, np.uint8)], axis=3)
    path = encode(tmp_path / "clip.mkv", frames, codec="ffv1", pixels=pixels)
    assert np.abs(np.stack(list(video.arrays(path))).astype(int) - GREY).max() <= 1
    frames[2, 20:30, 20:30, 3] = 100
    encode(path, frames, codec="ffv1", pixels=pixels)
    with pytest.raises(ValueError, match="frame 2: it has transparent pixels"):
        list(video.arrays(path))


def test_alpha_that_the_decoder_would_drop_is_refused(tmp_path):
    frames = np.concatenate([GREY, GREY[..., :1]], axis=3)
    path = encode(tmp_path / "clip.webm", frames, codec="libvpx-vp9", pixels="yuva420p")
    with pytest.raises(ValueError, match=r"clip\.webm: it has transparent pixels"):
        video.count(path)


def test_damage_inside_a_matroska_file_is_found_whatever_its_codec(tmp_path):
    path = encode(tmp_path / "clip.mkv")
    content = bytearray(path.read_bytes())
    content[content.index(b"\x1f\x43\xb6\x75") + 200] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"clip\.mkv: damaged between the bytes \d+ and \d+: their checksum is wrong"):
        video.count(path)


def test_damage_inside_ffv1_is_found_whatever_its_container(tmp_path):
    path = encode(tmp_path / "clip.avi", codec="ffv1", pixels="bgr0")
    assert np.array_equal(list(video.arrays(path)), GREY)
    content = bytearray(path.read_bytes())
    content[content.rindex(b"00dc", 0, content.rindex(b"idx1")) + 30] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"clip\.avi: damaged or cut off: a checksum or the length of frame 3 is wrong"):
        video.count(path)


def test_a_damaged_time_that_hides_the_last_frame_is_found(tmp_path):
    path = encode(tmp_path / "clip.mp4")
    content = bytearray(path.read_bytes())
    # The second sample is shown last; after version, flags and a number come pairs: samples, how much later each is shown.
    place = content.index(b"ctts") + 12 + 8 + 4
    content[place : place + 4] = (9999).to_bytes(4)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"clip\.mp4: cut off: it ends after 0\.12 s and 3 frames, before its announced end"):
        video.count(path)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip"])
def test_a_full_disk_is_named_and_leaves_nothing(tmp_path, name):
    noise = torch.randint(0, 256, (6, 3, 128, 128), dtype=torch.uint8)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(OSError, match=rf"File too large: .*{name}'"):
            video.write(tmp_path / name, noise, 25)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_network_that_overflows_makes_no_pixels(value):
    frames = torch.zeros(2, 3, 4, 4)
    frames[1, 2, 3, 3] = value
    with pytest.raises(ValueError, match="NaN or infinity"):
        video.from_network(frames)
