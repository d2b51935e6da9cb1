"""A meter for measures that score pairs of neighbouring frames."""

import math
import statistics
from collections.abc import Callable, Mapping
from typing import NamedTuple

from oasis.metrics.frames import Frame
from oasis.metrics.meter import Result, Setting


class Shown(NamedTuple):
    """What a measure sees at one moment."""

    output: Frame
    reference: Frame | None

    def known(self) -> Frame:
        """Return the reference; ValueError if there is none."""
        if self.reference is None:
            raise ValueError("a full-reference measure was given no reference frame")
        return self.reference


Score = Callable[[int, Shown, Shown], float | None]
"""The score of frame `number` and the one before it (number, before, now), None where the pair does not count."""


class Pairwise:
    """The mean over pairs of one score per measure; `reasons` say why no pair of a clip may count for a measure."""

    def __init__(
        self, scores: Mapping[str, Score], setting: Setting, reasons: Mapping[str, Callable[[], str]] | None = None
    ) -> None:
        if scores and setting.frames < 2:
            raise ValueError(
                f"{setting.clip}: {next(iter(scores))} compares neighbouring frames, the clip has {setting.frames}"
            )
        self._scores, self._clip, self._reasons = scores, setting.clip, reasons or {}
        self._before: Shown | None = None
        self._seen = 0
        self._values: dict[str, dict[int, float]] = {name: {} for name in scores}

    def add(self, output: Frame, reference: Frame | None) -> None:
        """Score the next frame with the one before it; ValueError if a score is no finite number."""
        now = Shown(output, reference)
        if self._before is not None:
            for name, score in self._scores.items():
                value = score(self._seen, self._before, now)
                if value is None:
                    continue
                if not math.isfinite(value):
                    raise ValueError(f"{self._clip}: {name} of frame {self._seen} is {value}, which is no score")
                self._values[name][self._seen] = value
        self._before = now
        self._seen += 1

    def result(self) -> dict[str, Result]:
        """Return the means over pairs, with the values that they are means of; ValueError if no pair counts."""
        for name, values in self._values.items():
            if not values:
                reason = self._reasons[name]() if name in self._reasons else "it takes other frames than these"
                raise ValueError(f"{self._clip}: {name} counts no pair of frames: {reason}")
        return {
            name: Result(value=statistics.fmean(values.values()), series=tuple(values.values()), numbers=tuple(values))
            for name, values in self._values.items()
        }
