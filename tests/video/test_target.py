import dataclasses
from fractions import Fraction

import pytest
from made import encode, plain

from oasis import video
from oasis.video import Tags
from oasis.video.colour import Colour
from oasis.video.target import target


@pytest.mark.parametrize(
    ("name", "bits", "more", "codec", "pixels"),
    [
        ("o.mp4", 8, {}, "libx264", "yuv420p"),
        ("o.mp4", 10, {}, "libx264", "yuv420p10le"),
        ("o.mp4", 9, {}, "libx264", "yuv420p10le"),
        ("o.mp4", 8, {"codec": "h265"}, "libx265", "yuv420p"),
        ("o.mp4", 12, {"codec": "h265"}, "libx265", "yuv420p12le"),
        ("o.mp4", 8, {"lossless": True}, "libx264rgb", "rgb24"),
        ("o.mp4", 10, {"lossless": True, "codec": "h265"}, "libx265", "gbrp10le"),
        ("o.mkv", 8, {}, "ffv1", "bgr0"),
        ("o.mkv", 10, {}, "ffv1", "gbrp10le"),
        ("o.mkv", 14, {"lossless": True}, "ffv1", "gbrp16le"),
        ("o.mkv", 8, {"codec": "h264"}, "libx264", "yuv420p"),
        ("o.mov", 8, {}, "prores_ks", "yuv422p10le"),
        ("o.mov", 8, {"codec": "h264"}, "libx264", "yuv420p"),
        ("o.mov", 8, {"lossless": True}, "libx264rgb", "rgb24"),
        ("o", 8, {}, "png", "rgb24"),
        ("o", 10, {}, "png", "rgb48be"),
    ],
)
def test_a_container_and_a_depth_choose_codec_and_pixel_format(tmp_path, name, bits, more, codec, pixels):
    found = target(tmp_path / name, plain(tmp_path, 16, 18, bits=bits), scale=4, **more)
    assert (found.codec, found.pixels, found.height, found.width) == (codec, pixels, 64, 72)
    assert found.bits >= bits
    assert found.crf == (18 if codec in ("libx264", "libx265") and not found.lossless else None)
    assert found.lossless == (codec in ("ffv1", "png", "libx264rgb") or "lossless" in more)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("height", "width"), [(17, 18), (16, 17), (17, 17)])
def test_odd_sides_keep_their_chroma(tmp_path, height, width):
    about = plain(tmp_path, height, width)
    assert target(tmp_path / "o.mp4", about, scale=1).pixels == "yuv444p"
    assert target(tmp_path / "o.mov", about, scale=1).pixels == ("yuv444p10le" if width % 2 else "yuv422p10le")


@pytest.mark.parametrize(
    ("name", "bits", "more", "says"),
    [
        ("o.avi", 8, {}, r"cannot write '\.avi'; allowed: \.mp4, \.mkv, \.mov, or a folder"),
        ("o.mp4", 8, {"codec": "ffv1"}, "codec 'ffv1' is not written here; allowed: h264, h265"),
        ("o.mov", 8, {"codec": "prores", "lossless": True}, "prores is never lossless"),
        ("o.mov", 8, {"crf": 12}, "crf 12 has no meaning for prores"),
        ("o.mkv", 8, {"crf": 12}, "crf 12 has no meaning for ffv1 without loss"),
        ("o.mp4", 8, {"crf": 12, "lossless": True}, "crf 12 has no meaning for h264 without loss"),
        ("o.mp4", 8, {"crf": 52}, "crf is 52; allowed: 0 to 51"),
        ("o.mp4", 12, {}, r"12 bits per sample do not fit h264, which holds 10; h265 holds 12 of them, and \.mkv with ffv1"),
        ("o.mp4", 16, {"codec": "h265"}, r"16 bits per sample do not fit h265, which holds 12; \.mkv with ffv1 and a folder"),
        ("o.mp4", 10, {"lossless": True}, "10 bits per sample do not fit h264 without loss, which holds 8; h265 holds 12"),
        ("o.mov", 12, {}, "12 bits per sample do not fit prores, which holds 10"),
        ("o.mp4", 8, {"codec": "h265", "scale": 1}, "18x16 pixels are too few for h265"),
        ("o.mp4", 8, {"scale": 2000}, "libx264 does not take 36000x32000 pixels of yuv420p"),
    ],
)
def test_what_cannot_be_written_is_refused_in_a_sentence(tmp_path, name, bits, more, says):
    with pytest.raises(ValueError, match=says) as refusal:
        target(tmp_path / name, plain(tmp_path, 16, 18, bits=bits), **{"scale": 4, **more})
    assert str(refusal.value).startswith(f"{tmp_path / name}: ")
    assert "\n" not in str(refusal.value)


def test_pixels_that_are_not_square_need_a_stream_that_says_so(tmp_path):
    about = plain(tmp_path, 64, 64, pixel_aspect=Fraction(16, 15))
    with pytest.raises(ValueError, match=r"o\.mkv: pixels of 16:15 cannot be stored as ffv1 in \.mkv; h264 and h265 can"):
        target(tmp_path / "o.mkv", about, scale=1)
    assert target(tmp_path / "o.mkv", about, scale=1, codec="h264").pixel_aspect == Fraction(16, 15)
    assert target(tmp_path / "o", about, scale=1).codec == "png"


def test_places_that_are_taken_are_refused(tmp_path):
    about = video.describe(encode(tmp_path / "in.mp4"))
    with pytest.raises(ValueError, match=r"in\.mp4: is the source itself"):
        target(tmp_path / "in.mp4", about, scale=1)
    (tmp_path / "folder.mkv").mkdir()
    with pytest.raises(ValueError, match=r"folder\.mkv: is a folder"):
        target(tmp_path / "folder.mkv", about, scale=1)
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="file: is a file"):
        target(tmp_path / "file", about, scale=1)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        target(tmp_path / "gone" / "o.mkv", about, scale=1)


def test_streams_that_do_not_fit_are_refused_before_the_run(tmp_path):
    about = video.describe(encode(tmp_path / "in.mkv", audio="flac"))
    assert about.streams == ("stream 1: audio flac, 48000 Hz, mono, fin",)
    with pytest.raises(
        ValueError, match=r"in\.mkv: \.mov cannot carry stream 1: audio flac, .*; \.mkv and \.mp4 can; or leave"
    ):
        target(tmp_path / "o.mov", about, scale=1)
    assert target(tmp_path / "o.mov", about, scale=1, streams=False).codec == "prores_ks"
    assert target(tmp_path / "o.mp4", about, scale=1).codec == "libx264"


def test_tags_are_kept_or_bt709(tmp_path):
    untagged = plain(tmp_path, 16, 18)
    assert target(tmp_path / "o.mp4", untagged, scale=1).tags == Tags(1, 1, 1, 1)
    assert target(tmp_path / "o.mkv", untagged, scale=1).tags == Tags(0, 2, 2, 2)
    assert target(tmp_path / "o", untagged, scale=1).tags == Tags(2, 2, 2, 0)
    yuv = Colour(pixels="yuv420p10le", matrix=video.Colorspace.BT2020, full_range=False)
    pq = dataclasses.replace(untagged, tags=Tags(9, 9, 16, 1), colour=yuv, bits=10, fps=Fraction(50))
    for name in ("o.mp4", "o.mov"):
        assert target(tmp_path / name, pq, scale=1).tags == Tags(9, 9, 16, 1)
    assert target(tmp_path / "o.mkv", pq, scale=1).tags == Tags(0, 9, 16, 2)
    full = dataclasses.replace(pq, tags=Tags(5, 2, 2, 2), colour=dataclasses.replace(yuv, full_range=True))
    assert target(tmp_path / "o.mp4", full, scale=1).tags == Tags(5, 2, 2, 2)
    assert target(tmp_path / "o.mov", full, scale=1).tags.range == 1  # ProRes has no other
    unsaid = dataclasses.replace(pq, tags=Tags(2, 9, 2, 0))
    assert target(tmp_path / "o.mp4", unsaid, scale=1).tags == Tags(1, 9, 1, 1)
