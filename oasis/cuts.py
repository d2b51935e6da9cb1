"""Scene cuts of a clip, from how much its pictures change."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import cv2
import numpy as np
from jaxtyping import Float32, UInt8
from numpy import ndarray

LEAST = 12.0
"""Grey levels that a cut changes at least, in the mean over the picture."""
TIMES = 4.0
"""How many times its neighbours' change a cut changes the picture."""

_Item = TypeVar("_Item")


def find(frames: Iterable[UInt8[ndarray, "h w 3"]]) -> tuple[int, ...]:
    """Return the numbers of the frames that start a new scene; hard cuts only, neither fades nor flashes of one frame.

    Pictures are compared as grey thumbnails 32 pixels wide. A cut changes them by `LEAST` grey levels, and `TIMES` as
    much as the pictures around it change.
    """
    return tuple(number for number, (_, cut) in enumerate(marked(frames, lambda frame: frame)) if cut)


def marked(items: Iterable[_Item], picture: Callable[[_Item], UInt8[ndarray, "h w 3"]]) -> Iterator[tuple[_Item, bool]]:
    """Yield every item, and whether its picture starts a new scene, as `find` has it; reads one item ahead."""
    waiting: list[_Item] = []
    small: ndarray | None = None
    before = change = 0.0  # of the pair of pictures ahead of the item that waits, and of the pair that it ends
    for item in items:
        later = thumbnail(picture(item))
        after = float(np.abs(later - small).mean()) if small is not None else 0.0
        if waiting:
            yield waiting.pop(), _cut(before, change, after)
            before, change = change, after
        waiting.append(item)
        small = later
    if waiting:
        yield waiting.pop(), _cut(before, change, 0.0)


def thumbnail(rgb: UInt8[ndarray, "h w 3"]) -> Float32[ndarray, "y 32"]:
    """Return a picture in grey, 32 pixels wide."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    height = max(1, round(32 * grey.shape[0] / grey.shape[1]))
    return cv2.resize(grey, (32, height), interpolation=cv2.INTER_AREA).astype(np.float32)


def _cut(before: float, change: float, after: float) -> bool:
    return change > LEAST and change > TIMES * max(before, after)
