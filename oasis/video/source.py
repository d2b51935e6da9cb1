"""Any video in: what a file or a folder of PNG says about itself, and its frames with their times."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from av.video.frame import VideoFrame
from jaxtyping import UInt8, UInt16
from numpy import ndarray

from oasis.video import carried, containers, folders, reading
from oasis.video.colour import Colour, rgb, rgb16
from oasis.video.orientation import Orientation, orientation, upright
from oasis.video.reading import FPS


class Tags(NamedTuple):
    """Colour as a stream tags it: codes of H.273, 2 is unspecified; `range` is 0 unspecified, 1 limited, 2 full."""

    matrix: int = 2
    primaries: int = 2
    transfer: int = 2
    range: int = 0


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a video says about itself.

    `height` and `width` are those of the frames that `frames` yields: turned upright, see `rotation` and `mirrored`, which
    say what was done (mirrored left to right first, then turned clockwise by so many degrees). `bits` is the depth of the
    stored samples, 8 to 16. `fps` is the mean rate, `time_base` the seconds of a tick; where a file stores no times, a tick
    is a frame. `tags` are as stored, and `colour` says how they were understood. `frames` is the number announced, None
    where none is. `streams` describes what can be carried along: audio and subtitles. `pixel_aspect` is width to height.
    """

    path: Path
    height: int
    width: int
    bits: int
    fps: Fraction
    time_base: Fraction
    constant_rate: bool
    tags: Tags
    colour: Colour
    pixel_aspect: Fraction
    frames: int | None
    streams: tuple[str, ...]
    codec: str
    interlaced: bool
    rotation: int
    mirrored: bool


@dataclass(frozen=True, kw_only=True)
class Frame:
    """Pixels, RGB in full range: 0..255, or 0..65535 where samples are deeper than 8 bits; and when they are shown.

    `pts` is in ticks of the source's time base, as stored. `duration` lasts until the next frame.
    """

    pixels: UInt8[ndarray, "h w 3"] | UInt16[ndarray, "h w 3"]
    pts: int
    duration: int


def describe(path: Path | str, *, fps: Fraction = FPS) -> Source:
    """Return what a file or a folder of PNG says about itself; `fps` is for folders and raw streams that do not say it.

    A file is read to its end, and its first frame decoded. Errors as in `frames`, as far as they show by then.
    """
    path = Path(path)
    about = reading.info(path, fps=fps)
    first = next(_decoded(path))
    pixels, turned = _converted(path, 0, first)
    codec, streams = ("png", ()) if path.is_dir() else _beside(path)
    timed = not path.is_dir() and first.pts is not None
    tags = Tags(first.colorspace, first.color_primaries, first.color_trc, first.color_range)
    return Source(
        path=path,
        height=pixels.shape[0],
        width=pixels.shape[1],
        bits=_bits(first),
        fps=about.fps,
        time_base=Fraction(first.time_base) if timed and first.time_base else 1 / about.fps,
        constant_rate=about.constant_rate,
        tags=Tags() if path.is_dir() else tags,
        colour=about.colour,
        pixel_aspect=1 / about.pixel_aspect if turned.rotation in (90, 270) else about.pixel_aspect,
        frames=about.frames,
        streams=streams,
        codec=codec,
        interlaced=about.interlaced or first.interlaced_frame,
        rotation=turned.rotation,
        mirrored=turned.mirrored,
    )


def frames(path: Path | str) -> Iterator[Frame]:
    """Yield the frames of a file or a folder of PNG, upright, with their times, in bounded memory.

    Folders and raw streams store no times: their frames are numbered from 0. Errors as in `reading.arrays`, but frames are
    turned and mirrored as a player does it; ValueError if that is by an angle between the quarters or changes, or if times
    do not increase from frame to frame.
    """
    path = Path(path)
    waiting: Frame | None = None  # how long a frame is shown is known when the next one comes
    first: Orientation | None = None
    numbered = False
    stored = 0
    due = _decoding_times(path)
    for number, decoded in enumerate(_decoded(path)):
        pixels, turned = _converted(path, number, decoded)
        first = first or turned
        if turned != first:
            raise ValueError(f"{path}: frame {number} is to be turned otherwise than those before it")
        numbered = numbered or (number == 0 and decoded.pts is None)
        pts = number if numbered else decoded.pts if due is None else next(due, None)
        if pts is None or (waiting is not None and pts <= waiting.pts):
            before = "the start" if waiting is None else waiting.pts
            raise ValueError(f"{path}: frame {number} is shown at time {pts}, which is not after {before}")
        if waiting is not None:
            stored = pts - waiting.pts
            yield dataclasses.replace(waiting, duration=stored)
        stored = 1 if numbered else decoded.duration or stored or _step(decoded)
        waiting = Frame(pixels=pixels, pts=pts, duration=stored)
    if waiting is not None:
        yield waiting


def _decoded(path: Path) -> Iterator[VideoFrame]:
    return folders.decoded(folders.pngs(path)) if path.is_dir() else containers.decoded(path, turned=True)


def _beside(path: Path) -> tuple[str, tuple[str, ...]]:
    """Return the codec's name and descriptions of the streams that can be carried along."""
    with containers.opened(path) as (container, video):
        streams = tuple(carried.described(stream) for stream in carried.others(container))
        return video.codec_context.codec.canonical_name, streams


def _decoding_times(path: Path) -> Iterator[int] | None:
    """Return the times at which an AVI's frames are decoded, in order, which it alone stores, and never when they are shown.

    The frame that is shown n-th is due at the n-th of them. None for other files.
    """
    if path.is_dir():
        return None
    with containers.opened(path) as (container, video):
        if container.format.name != "avi":
            return None
        return iter([packet.dts for packet in container.demux(video) if packet.size and packet.dts is not None])


def _converted(path: Path, number: int, frame: VideoFrame) -> tuple[ndarray, Orientation]:
    try:
        turned = orientation(frame)
        pixels = rgb(frame) if _bits(frame) == 8 else rgb16(frame)
    except ValueError as error:
        raise ValueError(f"{path}: frame {number}: {error}") from error
    return upright(pixels, turned), turned


def _bits(frame: VideoFrame) -> int:
    return max(8, frame.format.components[0].bits)  # black and white has one


def _step(frame: VideoFrame) -> int:
    """Return how long the only frame of a video is shown that does not say it, in ticks: the time of one at 25 per second."""
    return max(1, round(1 / (FPS * Fraction(frame.time_base or 1))))
