"""What the gate remembers of a clip: a thumbnail of every frame, and a few whole frames."""

import itertools
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from oasis.align.fit import Resize, Size, resample

_COLUMNS = 64
_KEPT = 8


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A whole frame on the grid of comparison: its luma, and its colours as means over the cells of a thumbnail."""

    luma: UInt8[ndarray, "h w"]
    colour: UInt8[ndarray, "v u 3"]


@dataclass(frozen=True, kw_only=True)
class Sketch:
    """A clip on the grid of comparison, of `size`.

    `thumbnails` are means of the green channel over cells of `pitch` (columns, rows) pixels of that grid, from the top left
    corner on. `kept` are 8 to 16 evenly spread frames (all of a shorter clip) by number.
    """

    size: Size
    thumbnails: UInt8[ndarray, "t v u"]
    pitch: tuple[float, float]
    kept: dict[int, Kept]

    def resized(self, resize: Resize) -> "Sketch":
        """Return the sketch of the clip resized as a whole."""
        size = replace(self.size, height=resize.height, width=resize.width)
        pitch = self.pitch[0] * size.width / self.size.width, self.pitch[1] * size.height / self.size.height
        kept = {number: Kept(luma=resample(frame.luma, resize), colour=frame.colour) for number, frame in self.kept.items()}
        return replace(self, size=size, pitch=pitch, kept=kept)


def sketch(frames: Iterable[UInt8[ndarray, "h w 3"]], *, scale: int = 1, native: tuple[int, int] | None = None) -> Sketch:
    """Look once at every frame.

    The grid of comparison is the frames' own times `scale`, or `native` (columns, rows); whole frames are resampled to it by
    OpenCV's bicubic filter. ValueError if there is no frame.
    """
    thumbnails: list[UInt8[ndarray, "v u"]] = []
    kept: dict[int, Kept] = {}
    stride = 1
    for number, frame in enumerate(frames):
        width, height = native or (frame.shape[1] * scale, frame.shape[0] * scale)
        # Green carries most of the luma, and is a plane that needs no copy where frames are stored by planes.
        thumbnails.append(_cells(frame[..., 1]))
        if number % stride == 0:
            kept[number] = _keep(frame, width, height)
            if len(kept) > 2 * _KEPT:
                stride *= 2
                kept = {number: entry for number, entry in kept.items() if number % stride == 0}
    if not thumbnails:
        raise ValueError("a clip without frames cannot be aligned")
    size = Size(frames=len(thumbnails), height=height, width=width)
    rows, columns = frame.shape[:2]
    factor = _factor(rows, columns)
    pitch = factor * width / columns, factor * height / rows
    return Sketch(size=size, thumbnails=np.stack(thumbnails), pitch=pitch, kept=kept)


def keep(frames: Iterable[UInt8[ndarray, "h w 3"]], numbers: Collection[int], size: Size) -> dict[int, Kept]:
    """Return the frames with these numbers as `sketch` keeps them, on a grid of `size`."""
    needed = enumerate(itertools.islice(frames, max(numbers, default=-1) + 1))
    return {number: _keep(frame, size.width, size.height) for number, frame in needed if number in numbers}


def _keep(frame: UInt8[ndarray, "h w 3"], width: int, height: int) -> Kept:
    frame = np.ascontiguousarray(frame)
    luma = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    if luma.shape != (height, width):
        luma = cv2.resize(luma, (width, height), interpolation=cv2.INTER_CUBIC)
    return Kept(luma=luma, colour=_cells(frame))


def _cells(pixels: UInt8[ndarray, "h w *c"]) -> UInt8[ndarray, "v u *c"]:
    factor = _factor(*pixels.shape[:2])
    rows, columns = pixels.shape[0] // factor, pixels.shape[1] // factor
    whole = np.ascontiguousarray(pixels[: rows * factor, : columns * factor])
    return cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA)


def _factor(rows: int, columns: int) -> int:
    return max(1, min(rows, columns // _COLUMNS))
