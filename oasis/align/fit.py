"""Which pixels of which frames are compared."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import UInt8
from numpy import ndarray


@dataclass(frozen=True, kw_only=True)
class Size:
    """How many frames a clip has, of how many pixels."""

    frames: int
    height: int
    width: int


@dataclass(frozen=True, kw_only=True)
class Resize:
    """The output was resized as a whole: it is resampled to this size first."""

    width: int
    height: int


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What of two clips is compared: rows and columns, and which frames, pair by pair.

    `seen` is None, and `reference_frames` empty, where the reference is not looked at.
    """

    resize: Resize | None
    shown: tuple[slice, slice]
    seen: tuple[slice, slice] | None
    output_frames: range
    reference_frames: range

    @property
    def height(self) -> int:
        """Rows that are compared."""
        return self.shown[0].stop - self.shown[0].start

    @property
    def width(self) -> int:
        """Columns that are compared."""
        return self.shown[1].stop - self.shown[1].start

    def output(self, frame: UInt8[ndarray, "y x 3"]) -> UInt8[ndarray, "h w 3"]:
        """Return what is compared of an output frame."""
        whole = resample(frame, self.resize) if self.resize else frame
        return np.ascontiguousarray(whole[self.shown])

    def reference(self, frame: UInt8[ndarray, "y x 3"]) -> UInt8[ndarray, "h w 3"] | None:
        """Return what is compared of a reference frame, None if nothing is."""
        return np.ascontiguousarray(frame[self.seen]) if self.seen else None


def resample(frame: UInt8[ndarray, "y x *c"], to: Resize) -> UInt8[ndarray, "h w *c"]:
    """Resize a frame by area means (cv2.INTER_AREA) where no side grows, else bicubic (cv2.INTER_CUBIC, a = -0.75)."""
    smaller = to.height <= frame.shape[0] and to.width <= frame.shape[1]
    method = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    return cv2.resize(np.ascontiguousarray(frame), (to.width, to.height), interpolation=method)
