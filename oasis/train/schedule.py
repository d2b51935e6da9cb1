"""How often a training crop is degraded inconsistently over time, as data: progressive training and its controls.

The paper trains with temporally consistent degradations first and inconsistent ones later (OASIS, arXiv 2509.23980,
"progressive training"); how often is not published, so the numbers here are ours.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A name and the corners (progress 0..1, probability 0..1) of a piecewise linear curve; progress rises."""

    name: str
    points: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        places = [place for place, _ in self.points]
        if not places or places != sorted(places) or not all(0 <= value <= 1 for point in self.points for value in point):
            raise ValueError(
                f"schedule {self.name!r} has the points {self.points}; allowed: (progress, probability) from 0 to 1, in order"
            )

    def probability(self, progress: float) -> float:
        """Return the probability of an inconsistent degradation after a share `progress` of all steps."""
        return _between(self.points, progress)

    def mean(self) -> float:
        """Return the probability averaged over a run: schedules are comparable where it is equal."""
        padded = ((0.0, self.points[0][1]), *self.points, (1.0, self.points[-1][1]))
        return sum((b - a) * (p + q) / 2 for (a, p), (b, q) in itertools.pairwise(padded))


def _between(points: Sequence[tuple[float, float]], place: float) -> float:
    if place <= points[0][0]:
        return points[0][1]
    for (left, low), (right, high) in itertools.pairwise(points):
        if place <= right:
            return high if right == left else low + (high - low) * (place - left) / (right - left)
    return points[-1][1]


SCHEDULES = {
    schedule.name: schedule
    for schedule in (
        Schedule(name="progressive", points=((0.0, 0.0), (0.5, 0.0), (1.0, 1.0))),
        Schedule(name="constant", points=((0.0, 0.25),)),
        Schedule(name="consistent-only", points=((0.0, 0.0),)),
        Schedule(name="inconsistent-only", points=((0.0, 1.0),)),
        Schedule(name="reversed", points=((0.0, 1.0), (0.5, 0.0), (1.0, 0.0))),
    )
}
"""`progressive`, `constant` and `reversed` show a run equally many inconsistent crops, in another order."""
