"""What a clip says about itself, and its frames as arrays or tensors."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import torch
from av.video.frame import VideoFrame
from einops import rearrange
from jaxtyping import UInt8
from numpy import ndarray
from torch import Tensor

from oasis.video import containers, folders
from oasis.video.colour import Colour, described, rgb

FPS = Fraction(25)


@dataclass(frozen=True, kw_only=True)
class Info:
    """What a clip says about itself.

    `fps` is a fraction, its mean where `constant_rate` is false; frames are always taken by number, never by time. Sizes
    and the proportion of a pixel, width to height, are those that are stored: nothing is stretched. `frames` is the
    number announced, None where none is. `interlaced` frames are taken as they are, two fields in one.
    """

    fps: Fraction
    height: int
    width: int
    colour: Colour
    frames: int | None
    decoder: str
    constant_rate: bool
    pixel_aspect: Fraction
    interlaced: bool


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A clip in memory, RGB 0..255."""

    frames: UInt8[Tensor, "t 3 h w"]
    fps: Fraction
    path: Path
    colour: Colour


def info(path: Path | str, *, fps: Fraction = FPS) -> Info:
    """Return what a file or a folder of PNG says about itself; `fps` is for folders, which do not say it.

    A file is read to its end but not decoded. Errors as in `arrays`, as far as they show without decoding.
    """
    path = Path(path)
    if path.is_dir():
        pngs = folders.pngs(path)
        frame = next(folders.decoded(pngs))
        return Info(
            fps=fps,
            height=frame.height,
            width=frame.width,
            colour=described(frame.format, frame.colorspace, frame.color_range, frame.height),
            frames=len(pngs),
            decoder=_decoder("png"),
            constant_rate=True,
            pixel_aspect=Fraction(1),
            interlaced=False,
        )
    with containers.opened(path) as (container, video):
        context = video.codec_context
        assert context.format is not None  # `opened` has looked
        try:
            colour = described(context.format, context.colorspace, context.color_range, video.height)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        packets = [(packet.pts, packet.is_discard) for packet in container.demux(video) if packet.size]
        hidden = sum(discarded for _, discarded in packets)
        return Info(
            fps=_rate(Fraction(video.average_rate or video.guessed_rate or fps)),
            height=video.height,
            width=video.width,
            colour=colour,
            frames=video.frames - hidden if video.frames else None,
            decoder=_decoder(context.name),
            constant_rate=_constant([pts for pts, discarded in packets if pts is not None and not discarded]),
            pixel_aspect=video.sample_aspect_ratio or Fraction(1),
            interlaced=context.field_order > 1,  # 0 unknown, 1 progressive, then the orders of fields
        )


def arrays(path: Path | str) -> Iterator[UInt8[ndarray, "h w 3"]]:
    """Yield the frames of a file or a folder of PNG, RGB 0..255, in bounded memory.

    FileNotFoundError if there is nothing at `path`; ValueError, with the path in it, if it is no video, is cut off or
    damaged, has no frames or transparent ones, or is to be turned for display. What is asked of a file's checksums and
    lengths is asked before the first frame; other damage is reported where it is met, a missing end after the last frame. H.264
    has no checksums: damage that leaves it decodable stays unseen. A raw .264 says nowhere how long it is: cut exactly
    between two frames, it is taken for whole.
    """
    for number, frame in enumerate(_frames(Path(path))):
        try:
            pixels = rgb(frame)
        except ValueError as error:
            raise ValueError(f"{path}: frame {number}: {error}") from error
        yield pixels


def stream(path: Path | str) -> Iterator[UInt8[Tensor, "3 h w"]]:
    """Yield the frames of a file or a folder of PNG as tensors, RGB 0..255; all else as in `arrays`."""
    for pixels in arrays(path):
        yield rearrange(torch.from_numpy(pixels), "h w c -> c h w").contiguous()


def count(path: Path | str) -> int:
    """Return how many frames there are, by decoding them without their colours; errors as in `arrays` but for those."""
    return sum(1 for _ in _frames(Path(path)))


def read(path: Path | str, *, start: int = 0, frames: int | None = None, fps: Fraction = FPS) -> Clip:
    """Read `frames` frames from number `start` on, by default all; `fps` is for folders, which do not say it.

    Errors as in `arrays`, and ValueError if there are fewer frames than asked for. A file is checked as far as it is read.
    """
    path = Path(path)
    about = info(path, fps=fps)
    taken = list(itertools.islice(stream(path), start, None if frames is None else start + frames))
    if not taken or (frames is not None and len(taken) < frames):
        wanted = "no frame" if frames is None else f"fewer than {frames} frames"
        raise ValueError(f"{path}: it has {wanted} from number {start} on")
    return Clip(frames=torch.stack(taken), fps=about.fps, path=path, colour=about.colour)


def _frames(path: Path) -> Iterator[VideoFrame]:
    return folders.decoded(folders.pngs(path)) if path.is_dir() else containers.decoded(path)


def _decoder(codec: str) -> str:
    libavcodec = ".".join(str(part) for part in av.library_versions["libavcodec"])
    return f"{codec} (PyAV {av.__version__}, FFmpeg libavcodec {libavcodec})"


def _rate(stored: Fraction) -> Fraction:
    """Return n * 1000/1001 for what is within 1e-6 of it: Matroska stores whole nanoseconds per frame."""
    ntsc = Fraction(round(stored * 1001 / 1000) * 1000, 1001)
    return ntsc if abs(stored - ntsc) < stored / 10**6 else stored


def _constant(times: list[int]) -> bool:
    """Return whether times, in ticks, are equally far apart but for rounding to whole ticks."""
    times = sorted(times)
    steps = len(times) - 1
    return all(abs((time - times[0]) * steps - (times[-1] - times[0]) * n) <= steps for n, time in enumerate(times))
