import itertools
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from PIL import Image

from oasis import video


def noise(*shape, seed=0):
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def smooth(frames, height, width):
    coarse = torch.rand(frames, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    found = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=False)
    return (255 * found).round().to(torch.uint8)


def to_rgb(y, u, v, matrix, full):
    """BT.601 / BT.709 by the book: luma weights, then the range."""
    red, blue = {"601": (0.299, 0.114), "709": (0.2126, 0.0722)}[matrix]
    luma, cb, cr = (y / 255, (u - 128) / 255, (v - 128) / 255) if full else ((y - 16) / 219, (u - 128) / 224, (v - 128) / 224)
    r, b = luma + 2 * (1 - red) * cr, luma + 2 * (1 - blue) * cb
    g = (luma - red * r - blue * b) / (1 - red - blue)
    return np.clip(np.rint(255 * np.stack([r, g, b])), 0, 255)


def store(path, yuv, *, pixels, matrix, range_):
    """Write planes as they are, losslessly, with tags of our choice; colours are constant over blocks of 2x2."""
    height, width = yuv.shape[1:]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1" if path.suffix == ".mkv" else "libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = height, width, pixels
        if path.suffix != ".mkv":
            stream.options = {"qp": "0"}
        stream.codec_context.colorspace, stream.codec_context.color_range = matrix, range_
        frame = av.VideoFrame(width, height, pixels)
        half = 2 if "420" in pixels else 1
        for plane, values in zip(frame.planes, (yuv[0], yuv[1, ::half, ::half], yuv[2, ::half, ::half]), strict=True):
            padded = np.zeros((plane.height, plane.line_size), np.uint8)
            padded[:, : plane.width] = values
            plane.update(padded)
        frame.pts, frame.time_base, frame.colorspace, frame.color_range = 0, Fraction(1, 25), matrix, range_
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.mark.parametrize(
    ("suffix", "pixels", "tag", "range_", "height", "matrix", "full"),
    [
        (".mp4", "yuv420p", 1, 1, 32, "709", False),
        (".mkv", "yuv420p", 1, 1, 32, "709", False),
        (".mp4", "yuv420p", 6, 1, 32, "601", False),
        (".mkv", "yuv420p", 6, 1, 32, "601", False),
        (".mkv", "yuv420p", 5, 2, 32, "601", True),
        (".mkv", "yuv444p", 1, 2, 32, "709", True),
        (".mp4", "yuvj420p", 1, 2, 32, "709", True),
        (".mp4", "yuvj420p", 6, 2, 720, "601", True),
        (".mp4", "yuv420p", 2, 0, 718, "601", False),
        (".mkv", "yuv420p", 2, 0, 718, "601", False),
        (".mp4", "yuv420p", 2, 0, 720, "709", False),
    ],
)
def test_decoded_colours_are_those_of_the_formula(tmp_path, suffix, pixels, tag, range_, height, matrix, full):
    # Flat luma and chroma over wide blocks, so that chroma upsampling plays no part inside them.
    generator = np.random.default_rng(1)
    levels = np.stack([generator.integers(60, 190, 4), *generator.integers(108, 148, (2, 4))])
    yuv = np.repeat(np.repeat(levels[:, None, :], 32, axis=2), height, axis=1)
    path = tmp_path / f"clip{suffix}"
    store(path, yuv, pixels=pixels, matrix=tag, range_=range_)
    clip = video.read(path)
    inner = np.arange(128).reshape(4, 32)[:, 8:24].ravel()
    difference = np.abs(clip.frames[0].numpy().astype(float) - to_rgb(*yuv.astype(float), matrix, full))[..., inner]
    assert difference.max() <= 2
    wrong = [
        to_rgb(*yuv.astype(float), m, f)
        for m, f in itertools.product(("601", "709"), (False, True))
        if (m, f) != (matrix, full)
    ]
    assert all(np.abs(clip.frames[0].numpy() - other)[..., inner].max() > 2 for other in wrong)
    assert clip.colour.full_range == full
    assert clip.colour.matrix == {"601": video.Colorspace.ITU601, "709": video.Colorspace.ITU709}[matrix]


@pytest.mark.parametrize(("height", "width"), [(32, 48), (1, 1), (2, 2), (17, 33), (16, 31)])
@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("name", ["clip.mkv", "folder"])
def test_lossless_round_trip_is_bit_exact(tmp_path, name, count, height, width):
    frames = noise(count, 3, height, width)
    video.write(tmp_path / name, frames, Fraction(24000, 1001))
    clip = video.read(tmp_path / name)
    assert torch.equal(clip.frames, frames)
    assert clip.fps == (Fraction(24000, 1001) if name == "clip.mkv" else 25)


@pytest.mark.parametrize(("height", "width"), [(32, 48), (1, 1), (17, 33), (16, 31)])
@pytest.mark.parametrize("count", [1, 5])
def test_mp4_round_trip_is_close(tmp_path, count, height, width):
    frames = smooth(count, height, width)
    video.write(tmp_path / "clip.mp4", frames, Fraction(30000, 1001), crf=1)
    clip = video.read(tmp_path / "clip.mp4")
    assert clip.frames.shape == frames.shape
    assert clip.fps == Fraction(30000, 1001)
    difference = clip.frames.float() - frames.float()
    assert difference.abs().mean() < 4  # colour has half the resolution
    assert (torch.tensor([0.2126, 0.7152, 0.0722]) @ difference.flatten(2)).abs().mean() < 1
    assert clip.colour.pixels == ("yuv444p" if height % 2 or width % 2 else "yuv420p")
    assert (clip.colour.matrix, clip.colour.full_range) == (video.Colorspace.ITU709, False)


@pytest.mark.parametrize("fps", ["24000/1001", "30000/1001", "60000/1001", "120000/1001", "24", "25", "16", "3", "25/2", "59"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_fps_is_kept_as_a_fraction(tmp_path, suffix, fps):
    video.write(tmp_path / f"clip{suffix}", noise(4, 3, 16, 16), Fraction(fps))
    assert video.info(tmp_path / f"clip{suffix}").fps == Fraction(fps)


def test_the_same_frames_make_the_same_file(tmp_path):
    for suffix in (".mp4", ".mkv"):
        for name in ("a", "b"):
            video.write(tmp_path / f"{name}{suffix}", noise(3, 3, 16, 16), 25)
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


@pytest.mark.parametrize("name", ["clip.mkv", "clip.mp4", "folder"])
def test_parts_and_streams_agree_with_the_whole(tmp_path, name):
    video.write(tmp_path / name, (frame for frame in smooth(6, 16, 16)), 25)
    whole = video.read(tmp_path / name).frames
    assert torch.equal(video.read(tmp_path / name, start=2, frames=3).frames, whole[2:5])
    assert torch.equal(torch.stack(list(video.stream(tmp_path / name))), whole)
    about = video.info(tmp_path / name)
    assert (about.height, about.width) == (16, 16)
    with pytest.raises(ValueError, match="fewer than 5 frames from number 2 on"):
        video.read(tmp_path / name, start=2, frames=5)
    with pytest.raises(ValueError, match="no frame from number 6 on"):
        video.read(tmp_path / name, start=6)


def test_a_shorter_clip_leaves_no_frames_of_a_longer_one(tmp_path):
    video.write(tmp_path / "folder", noise(5, 3, 4, 4), 25)
    video.write(tmp_path / "folder", noise(2, 3, 4, 4, seed=1), 25)
    assert torch.equal(video.read(tmp_path / "folder").frames, noise(2, 3, 4, 4, seed=1))


@pytest.mark.parametrize("name", ["clip.mkv", "clip.mp4", "folder"])
@pytest.mark.parametrize(
    "frames",
    [[], [torch.zeros(3, 4, 4)], [noise(4, 4, 4)], [noise(3, 4, 4), noise(3, 4, 6)]],
    ids=["none", "float", "channels", "sizes"],
)
def test_bad_frames_leave_nothing_behind(tmp_path, name, frames):
    with pytest.raises(ValueError, match=name):
        video.write(tmp_path / name, frames, 25)
    assert list(tmp_path.iterdir()) == []


def test_bad_targets_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"cannot write '.gif'; allowed: .mp4, .mkv"):
        video.write(tmp_path / "a.gif", noise(1, 3, 4, 4), 25)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        video.write(tmp_path / "none" / "a.mp4", noise(1, 3, 4, 4), 25)


def test_what_is_no_video_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.mp4: no such file"):
        video.read(tmp_path / "nothing.mp4")
    for name, content in (("text.txt", b"words\n" * 99), ("text.mp4", b"words\n" * 99), ("empty.mkv", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=rf"{name}: not a video"):
            video.read(tmp_path / name)
    with av.open(str(tmp_path / "sound.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        silence.sample_rate = 8000
        container.mux(stream.encode(silence))
    with pytest.raises(ValueError, match=r"sound\.mkv: not a video"):
        video.read(tmp_path / "sound.mkv")


def test_a_video_without_frames_is_refused(tmp_path):
    path = tmp_path / "empty.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 16, 16, "bgr0"
        container.start_encoding()
    with pytest.raises(ValueError, match=r"empty\.mkv: .*(without|not a video)"):
        video.read(path)


def repacked(source, target, **options):
    """Copy the packets of a file into another container."""
    with av.open(str(source)) as before, av.open(str(target), "w", **options) as after:
        stream = after.add_stream_from_template(before.streams.video[0])
        for packet in before.demux(before.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                after.mux(packet)


@pytest.mark.parametrize("name", ["clip.mp4", "fast.mp4", "clip.mkv", "raw.264"])
@pytest.mark.parametrize("share", [0.02, 0.45, 0.75, 0.97, 0.99])
def test_a_truncated_video_is_refused(tmp_path, name, share):
    frames = torch.nn.functional.interpolate(noise(12, 3, 6, 8).float(), size=(48, 64), mode="bilinear").round().to(torch.uint8)
    source = tmp_path / ("clip.mkv" if name == "clip.mkv" else "clip.mp4")
    video.write(source, frames, 25)
    if name == "fast.mp4":
        repacked(source, tmp_path / name, options={"movflags": "faststart"})
    elif name == "raw.264":
        repacked(source, tmp_path / name, format="h264")
    path = tmp_path / name
    assert len(video.read(path).frames) == 12
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=rf"{name}: .*(cut off|not a video|without)"):
        video.read(path)


def test_a_folder_of_png_must_be_whole(tmp_path):
    with pytest.raises(ValueError, match="without PNG"):
        video.read(tmp_path)
    for number in (3, 4, 6):
        Image.new("RGB", (4, 4)).save(tmp_path / f"frame_{number}.png")
    with pytest.raises(ValueError, match="frame number 5 is missing"):
        video.read(tmp_path)
    Image.new("RGB", (4, 6)).save(tmp_path / "frame_5.png")
    with pytest.raises(ValueError, match=r"frame_5\.png: 4x6 pixels, the frames before 4x4"):
        video.read(tmp_path)
    Image.new("L", (4, 4), 9).save(tmp_path / "frame_5.png")
    assert video.read(tmp_path).frames[:, 0, 0, 0].tolist() == [0, 0, 9, 0]
    Image.new("RGB", (4, 4)).save(tmp_path / "frame_07.png")
    content = (tmp_path / "frame_07.png").read_bytes()
    (tmp_path / "frame_07.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"frame_07\.png: not a PNG, damaged or cut off"):
        video.read(tmp_path)
    Image.new("RGB", (4, 4)).save(tmp_path / "frame_07.png")
    Image.new("RGB", (4, 4)).save(tmp_path / "frame_7.png")
    with pytest.raises(ValueError, match="must end in a number of its own"):
        video.read(tmp_path)


def test_frames_are_ordered_by_number_not_by_name(tmp_path):
    for number in (9, 10, 11):
        Image.new("L", (1, 1), number).save(tmp_path / f"{number}.png")
    assert video.read(tmp_path, fps=Fraction(12)).frames[:, 0, 0, 0].tolist() == [9, 10, 11]


def test_network_range_is_an_exact_inverse():
    frames = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).expand(2, 3, 16, 16)
    network = video.to_network(frames)
    assert (network.min(), network.max(), network.dtype) == (-1, 1, torch.float32)
    assert torch.equal(video.from_network(network), frames)
    assert video.from_network(torch.tensor([-7.0, 7.0, 0.002]).reshape(1, 3, 1, 1)).flatten().tolist() == [0, 255, 128]


@pytest.mark.parametrize(
    ("name", "count", "fps", "matrix", "full"),
    [
        ("train/highway_720p.mp4", 38, Fraction(25), "ITU709", False),
        ("train/street_tree_1080p.264", 54, Fraction(25), "ITU709", True),
        ("test/teddy_text_jacket.mp4", 141, Fraction(1454080, 72773), "ITU601", False),
        ("train/camel_540p.mp4", None, Fraction(30000, 1001), "ITU601", False),
    ],
)
def test_real_files(shared, name, count, fps, matrix, full):
    path = shared(f"data/{name}")
    about = video.info(path)
    assert (about.fps, about.colour.matrix.name, about.colour.full_range) == (fps, matrix, full)
    if count and about.height < 700:
        assert sum(1 for _ in video.stream(path)) == count
    else:
        assert video.read(path, frames=2).frames.shape == (2, 3, about.height, about.width)


def test_a_real_lossless_file(shared):
    clip = video.read(shared("data/test/sintel_cgi_1024x436.mkv"))
    assert clip.frames.shape == (10, 3, 436, 1024)
    assert (clip.fps, clip.colour.matrix) == (24, None)
