"""How a player turns and mirrors the stored picture, and the pixels so turned."""

from dataclasses import dataclass

import numpy as np
from av.video.frame import VideoFrame
from jaxtyping import Shaped
from numpy import ndarray

from oasis.video import containers


@dataclass(frozen=True, kw_only=True)
class Orientation:
    """The stored picture is mirrored left to right, if at all, then turned clockwise by 0, 90, 180 or 270 degrees."""

    rotation: int
    mirrored: bool


def orientation(frame: VideoFrame) -> Orientation:
    """Return how a frame is to be shown; ValueError if by an angle between the quarters."""
    right, down_right, right_down, down = containers.placement(frame)
    if not (right and down and not down_right and not right_down) and not (
        down_right and right_down and not right and not down
    ):
        raise ValueError("to be turned by an angle that is no multiple of 90 degrees, or to be skewed, for display")
    mirrored = right * down - down_right * right_down < 0
    if mirrored:
        right, down_right = -right, -down_right
    rotation = (0 if right > 0 else 180) if right else (90 if down_right > 0 else 270)
    return Orientation(rotation=rotation, mirrored=mirrored)


def upright(pixels: Shaped[ndarray, "h w c"], orientation: Orientation) -> Shaped[ndarray, "y x c"]:
    """Return pixels as they are to be shown."""
    if orientation.mirrored:
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(np.rot90(pixels, -orientation.rotation // 90))
