"""What every measure is: it is told of a clip, sees its frames one after the other, and says its values at the end."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from oasis.metrics.frames import Frame

TrueFlow = Callable[[int], tuple[NDArray[np.float32], NDArray[np.bool_]]]


class Unavailable(Exception):
    """A measure cannot be taken here (weights, program or reference missing); the message says what would help."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a measure is told before the first frame.

    Sizes are those of the frames that it will see, in pixels; `cuts` lists the frames that start a new scene. `true_flow`,
    where the motion is known, maps t to the flow "h w 2" (dx, dy) of frame t to t+1 in pixels and the pixels "h w" of t
    that t+1 does not show.
    """

    clip: str
    frames: int
    height: int
    width: int
    fps: Fraction = Fraction(25)
    cuts: tuple[int, ...] = ()
    true_flow: TrueFlow | None = None
    device: str = "cpu"


@dataclass(frozen=True, kw_only=True)
class Result:
    """The value of one measure on one clip, and what it is the mean of.

    `series` has a value for every frame (or pair of frames) that counted, numbered by `numbers` (a pair by its later
    frame); both are empty where a measure knows only the whole clip.
    """

    value: float
    series: tuple[float, ...] = ()
    numbers: tuple[int, ...] = ()


@runtime_checkable  # jaxtyping's checker asks at run time
class Meter(Protocol):
    """Some measures of one clip, taken together because they share work."""

    def add(self, output: Frame, reference: Frame | None) -> None:
        """Take the next frame; both have one size, `reference` is None where there is no ground truth."""

    def result(self) -> dict[str, Result]:
        """Return the values by full measure name, after the last frame."""
