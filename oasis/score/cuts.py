"""Scene cuts of a clip, from how much its pictures change."""

import itertools
from collections.abc import Iterable

import cv2
import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

LEAST = 12.0
"""Grey levels that a cut changes at least, in the mean over the picture."""
TIMES = 4.0
"""How many times its neighbours' change a cut changes the picture."""


def find(frames: Iterable[UInt8[ndarray, "h w 3"]]) -> tuple[int, ...]:
    """Return the numbers of the frames that start a new scene; hard cuts only, neither fades nor flashes of one frame.

    Pictures are compared as grey thumbnails 32 pixels wide. A cut changes them by `LEAST` grey levels, and `TIMES` as
    much as the pictures around it change.
    """
    small = [_thumbnail(frame) for frame in frames]
    change = np.array([np.abs(after - before).mean() for before, after in itertools.pairwise(small)])
    around = np.pad(change, 1)
    highest = np.maximum(around[:-2], around[2:]) if len(change) else change
    return tuple(int(t) + 1 for t in np.flatnonzero((change > LEAST) & (change > TIMES * highest)))


def _thumbnail(rgb: UInt8[ndarray, "h w 3"]) -> ndarray:
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    height = max(1, round(32 * grey.shape[0] / grey.shape[1]))
    return cv2.resize(grey, (32, height), interpolation=cv2.INTER_AREA).astype(np.float32)
