"""A meter for measures that score every frame on its own."""

import contextlib
import math
import statistics
from collections.abc import Callable, Iterator, Mapping

import torch

from oasis.metrics.frames import Frame
from oasis.metrics.meter import Result, Setting

Score = Callable[[Frame, Frame | None], float]


class Framewise:
    """The mean over frames of one score per measure; `counted` names the frames of a measure that does not take all."""

    def __init__(self, scores: Mapping[str, Score], setting: Setting, counted: Mapping[str, range] | None = None) -> None:
        self._scores, self._clip, self._counted = scores, setting.clip, counted or {}
        self._seen = 0
        self._values: dict[str, dict[int, float]] = {name: {} for name in scores}

    def add(self, output: Frame, reference: Frame | None) -> None:
        """Score the next frame; ValueError if a score is no finite number."""
        for name, score in self._scores.items():
            if self._seen not in self._counted.get(name, range(self._seen, self._seen + 1)):
                continue
            with exact():
                value = score(output, reference)
            if not math.isfinite(value):
                raise ValueError(f"{self._clip}: {name} of frame {self._seen} is {value}, which is no score")
            self._values[name][self._seen] = value
        self._seen += 1

    def result(self) -> dict[str, Result]:
        """Return the means over frames, with the values that they are means of."""
        return {
            name: Result(value=statistics.fmean(values.values()), series=tuple(values.values()), numbers=tuple(values))
            for name, values in self._values.items()
        }


@contextlib.contextmanager
def exact() -> Iterator[None]:
    """Run networks without gradients and in full float32: cuDNN's TF32, which is on by default, moves LPIPS by up to 1e-3."""
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        yield


def paired(score: Callable[[Frame, Frame], float]) -> Score:
    """Return a score that refuses to go without a reference."""

    def checked(output: Frame, reference: Frame | None) -> float:
        if reference is None:
            raise ValueError("a full-reference measure was given no reference frame")
        return score(output, reference)

    return checked


def check_size(name: str, smallest: int, setting: Setting) -> None:
    """Raise ValueError if a side of the frames is shorter than measure `name` can be taken of."""
    if min(setting.height, setting.width) < smallest:
        raise ValueError(
            f"{setting.clip}: frames of {setting.width}x{setting.height} pixels are too small for {name}, "
            f"which needs {smallest} on each side"
        )
