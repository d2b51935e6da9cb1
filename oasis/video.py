"""A clip on disk <-> a tensor; the only place for codecs, colour matrices, ranges and channel order."""

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation
from av.video.stream import VideoStream
from einops import rearrange
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from oasis import files

FPS = Fraction(25)
SUFFIXES = (".264", ".avi", ".h264", ".m4v", ".mkv", ".mov", ".mp4", ".webm")
# Full chroma resolution and exact rounding; swscale's defaults are faster and off by several grey levels.
_SCALER = Interpolation.BICUBIC | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
_SCALER |= Interpolation.ACCURATE_RND | Interpolation.BITEXACT
# By the code of H.273 that a stream carries.
_MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
    10: Colorspace.BT2020,
}


@dataclass(frozen=True, kw_only=True)
class Colour:
    """How a clip stores colour: FFmpeg's pixel format, the matrix (None: stored as RGB), and whether 0..255 is used."""

    pixels: str
    matrix: Colorspace | None
    full_range: bool


@dataclass(frozen=True, kw_only=True)
class Info:
    """What a clip says about itself before it is decoded; `fps` is a fraction, sizes are pixels."""

    fps: Fraction
    height: int
    width: int
    colour: Colour


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A clip in memory, RGB 0..255."""

    frames: UInt8[Tensor, "t 3 h w"]
    fps: Fraction
    path: Path
    colour: Colour


def to_network(frames: UInt8[Tensor, "t 3 h w"]) -> Float[Tensor, "t 3 h w"]:
    """Map 0..255 to float32 in [-1, 1]."""
    return frames.to(torch.float32) / 127.5 - 1


def from_network(frames: Float[Tensor, "t 3 h w"]) -> UInt8[Tensor, "t 3 h w"]:
    """Map [-1, 1] to 0..255, clamped and rounded."""
    return ((frames.to(torch.float32) + 1) * 127.5).clamp(0, 255).round().to(torch.uint8)


def info(path: Path | str, *, fps: Fraction = FPS) -> Info:
    """Return what a file or a folder of PNG says about itself; `fps` is for folders, which do not say it."""
    path = Path(path)
    if path.is_dir():
        with Image.open(_pngs(path)[0]) as image:
            colour = Colour(pixels="rgb24", matrix=None, full_range=True)
            return Info(fps=fps, height=image.height, width=image.width, colour=colour)
    with _opened(path) as container:
        video = _video(path, container)
        context = video.codec_context
        assert context.format is not None  # _video has looked
        rate = _rate(Fraction(video.average_rate or video.guessed_rate or fps))
        colour = _colour(context.format.name, context.format.is_rgb, context.colorspace, context.color_range, video.height)
        return Info(fps=rate, height=video.height, width=video.width, colour=colour)


def stream(path: Path | str) -> Iterator[UInt8[Tensor, "3 h w"]]:
    """Yield the frames of a file or a folder of PNG in bounded memory.

    FileNotFoundError if there is nothing at `path`; ValueError, with the path in it, if it is no video, is cut off or
    damaged, or has no frames. Damage is reported where it is met, a missing end after the last frame. A raw .264 says
    nowhere how long it is: cut exactly between two frames, it is taken for whole.
    """
    path = Path(path)
    if path.is_dir():
        return _load(path, _pngs(path))
    return _decode(path)


def read(path: Path | str, *, start: int = 0, frames: int | None = None, fps: Fraction = FPS) -> Clip:
    """Read `frames` frames from number `start` on, by default all; `fps` is for folders, which do not say it.

    Errors as in `stream`, and ValueError if there are fewer frames than asked for. A file is checked as far as it is read.
    """
    path = Path(path)
    about = info(path, fps=fps)
    taken = list(itertools.islice(stream(path), start, None if frames is None else start + frames))
    if not taken or (frames is not None and len(taken) < frames):
        wanted = "no frame" if frames is None else f"fewer than {frames} frames"
        raise ValueError(f"{path}: it has {wanted} from number {start} on")
    return Clip(frames=torch.stack(taken), fps=about.fps, path=path, colour=about.colour)


def write(path: Path | str, frames: Iterable[UInt8[Tensor, "3 h w"]], fps: Fraction | int, *, crf: int = 18) -> None:
    """Write frames, RGB 0..255, one by one: `.mp4` (H.264), `.mkv` (FFV1, lossless) or a folder of PNG (no suffix).

    MP4 is BT.709 in limited range and tagged so; 4:2:0, or 4:4:4 where a side is odd; `crf` is x264's, less is better.
    A file appears whole or not at all; the numbered frames that a folder already has are replaced.
    """
    path = Path(path)
    if path.suffix not in (".mp4", ".mkv", ""):
        raise ValueError(f"{path}: cannot write {path.suffix!r}; allowed: .mp4, .mkv, or a folder, whose name has no suffix")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {path.parent} to write it into")
    pixels = _checked(path, frames)
    if path.suffix:
        with files.replacing(path) as temporary:
            _encode(temporary, pixels, Fraction(fps), crf)
    else:
        _save(path, pixels)


def _checked(path: Path, frames: Iterable[Tensor]) -> Iterator[NDArray[np.uint8]]:
    shape = None
    for frame in frames:
        shape = frame.shape if shape is None else shape
        if frame.dtype != torch.uint8 or frame.ndim != 3 or frame.shape[0] != 3 or frame.shape != shape:
            raise ValueError(f"{path}: frames must be uint8 of one shape (3, h, w), got {frame.dtype} {tuple(frame.shape)}")
        yield np.ascontiguousarray(rearrange(frame, "c h w -> h w c").cpu().numpy())
    if shape is None:
        raise ValueError(f"{path}: a clip without frames cannot be written")


def _encode(path: Path, pixels: Iterator[NDArray[np.uint8]], fps: Fraction, crf: int) -> None:
    first = next(pixels)
    height, width, _ = first.shape
    # Without bitexact the muxers write random identifiers: the same frames would give another file every time.
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        if path.suffix == ".mkv":
            video = container.add_stream("ffv1", rate=fps)
            video.pix_fmt = "bgr0"
        else:
            video = container.add_stream("libx264", rate=fps, options={"crf": str(crf)})
            video.pix_fmt = "yuv444p" if height % 2 or width % 2 else "yuv420p"
            context = video.codec_context
            context.colorspace = context.color_primaries = context.color_trc = 1  # BT.709
            context.color_range = ColorRange.MPEG
        video.height, video.width = height, width
        for number, image in enumerate(itertools.chain([first], pixels)):
            frame = VideoFrame.from_ndarray(image, format="rgb24")
            if path.suffix == ".mp4":
                frame = frame.reformat(
                    format=video.pix_fmt,
                    src_colorspace=Colorspace.ITU709,
                    dst_colorspace=Colorspace.ITU709,
                    src_color_range=ColorRange.JPEG,
                    dst_color_range=ColorRange.MPEG,
                    interpolation=_SCALER,
                )
            frame.pts, frame.time_base = number, 1 / fps
            container.mux(video.encode(frame))
        container.mux(video.encode(None))


def _save(path: Path, pixels: Iterator[NDArray[np.uint8]]) -> None:
    names = set()
    with files.replacing_folder(path) as folder:
        for number, image in enumerate(pixels):
            names.add(f"{number:08d}.png")
            Image.fromarray(image).save(folder / f"{number:08d}.png")
    for stale in path.glob("[0-9]" * 8 + ".png"):
        if stale.name not in names:
            stale.unlink()


def _opened(path: Path) -> InputContainer:
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder")
    try:
        return av.open(str(path))
    except av.FFmpegError as error:
        raise ValueError(f"{path}: not a video, or cut off at its start or end ({error.strerror})") from error


def _video(path: Path, container: InputContainer) -> VideoStream:
    # FFmpeg takes text for ANSI art.
    if not container.streams.video or container.format.name == "tty":
        raise ValueError(f"{path}: not a video")
    video = container.streams.video[0]
    # A file cut inside its header may leave a stream without a decoder.
    if video.codec_context is None or video.codec_context.format is None:
        raise ValueError(f"{path}: a video without a frame that can be decoded")
    return video


def _rate(stored: Fraction) -> Fraction:
    """Return n * 1000/1001 for what is within 1e-6 of it: Matroska stores whole nanoseconds per frame."""
    ntsc = Fraction(round(stored * 1001 / 1000) * 1000, 1001)
    return ntsc if abs(stored - ntsc) < stored / 10**6 else stored


def _decode(path: Path) -> Iterator[Tensor]:
    with _opened(path) as container:
        video = _video(path, container)
        video.codec_context.options = {"err_detect": "explode"}
        decoded = hidden = 0
        end = Fraction(0)
        size = None
        try:
            for packet in container.demux(video):
                hidden += packet.is_discard  # an edit list may cut frames away
                for frame in packet.decode():
                    size = size or (frame.height, frame.width)
                    if packet.is_corrupt or frame.is_corrupt or size != (frame.height, frame.width):
                        raise ValueError(f"{path}: damaged or cut off at frame {decoded}")
                    if frame.pts is not None and frame.time_base is not None:
                        end = frame.time_base * (frame.pts + frame.duration)
                    decoded += 1
                    yield _rgb(frame)
        except av.FFmpegError as error:
            raise ValueError(f"{path}: damaged or cut off at frame {decoded} ({error.strerror})") from error
        if not decoded:
            raise ValueError(f"{path}: a video without frames")
        if decoded < video.frames - hidden:
            raise ValueError(f"{path}: cut off: {video.frames - hidden} frames are announced, {decoded} are there")
        if end and end < _announced_end(container, video) - Fraction(1, 2) / (video.average_rate or FPS):
            raise ValueError(
                f"{path}: cut off: it ends after {float(end):.2f} s and {decoded} frames, before its announced end"
            )


def _announced_end(container: InputContainer, video: VideoStream) -> Fraction:
    """Return the seconds at which Matroska says that the stream ends, 0 where nothing is said."""
    tag = re.fullmatch(r"(\d+):(\d+):(\d+\.\d+)", video.metadata.get("DURATION", ""))
    if tag:
        return int(tag[1]) * 3600 + int(tag[2]) * 60 + Fraction(tag[3])
    if "matroska" in container.format.name and len(container.streams) == 1 and container.duration:
        return Fraction(container.duration, av.time_base)
    return Fraction(0)


def _colour(pixels: str, is_rgb: bool, matrix: int, range_: int, height: int) -> Colour:
    if is_rgb:
        return Colour(pixels=pixels, matrix=None, full_range=True)
    untagged = Colorspace.ITU601 if height < 720 else Colorspace.ITU709
    full = range_ == ColorRange.JPEG or (range_ != ColorRange.MPEG and pixels.startswith(("yuvj", "gray")))
    return Colour(pixels=pixels, matrix=_MATRICES.get(matrix, untagged), full_range=full)


def _rgb(frame: VideoFrame) -> Tensor:
    colour = _colour(frame.format.name, frame.format.is_rgb, frame.colorspace, frame.color_range, frame.height)
    if colour.matrix is None:
        found = frame.reformat(format="rgb24")
    else:
        found = frame.reformat(
            format="rgb24",
            src_colorspace=colour.matrix,
            dst_colorspace=colour.matrix,
            src_color_range=ColorRange.JPEG if colour.full_range else ColorRange.MPEG,
            dst_color_range=ColorRange.JPEG,
            interpolation=_SCALER,
        )
    return rearrange(torch.from_numpy(found.to_ndarray()), "h w c -> c h w").contiguous()


def _pngs(path: Path) -> list[Path]:
    """Return the PNG of a folder by their numbers, which must follow one another."""
    numbered = {}
    for file in sorted(path.glob("*.png")):
        digits = re.search(r"(\d+)$", file.stem)
        if not digits or int(digits[1]) in numbered:
            raise ValueError(f"{file}: the name of a frame must end in a number of its own")
        numbered[int(digits[1])] = file
    if not numbered:
        raise ValueError(f"{path}: a folder without PNG frames")
    gaps = sorted(set(range(min(numbered), max(numbered))) - set(numbered))
    if gaps:
        raise ValueError(f"{path}: frame number {gaps[0]} is missing")
    return [numbered[number] for number in sorted(numbered)]


def _load(path: Path, pngs: list[Path]) -> Iterator[Tensor]:
    size = None
    for file in pngs:
        try:
            with Image.open(file) as image:
                if image.mode not in ("RGB", "RGBA", "L", "P"):
                    raise ValueError(f"{file}: frames must have 8 bits per channel, got mode {image.mode!r}")
                pixels = np.array(image.convert("RGB"))
        except OSError as error:
            raise ValueError(f"{file}: not a PNG, damaged or cut off ({error})") from error
        size = size or pixels.shape
        if pixels.shape != size:
            raise ValueError(f"{file}: {pixels.shape[1]}x{pixels.shape[0]} pixels, the frames before {size[1]}x{size[0]}")
        yield rearrange(torch.from_numpy(pixels), "h w c -> c h w").contiguous()
