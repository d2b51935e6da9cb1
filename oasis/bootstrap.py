"""Intervals of means over clips, by drawing the clips anew."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

RESAMPLES = 2000


class Interval(NamedTuple):
    """A value and the bounds of its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3g} ({self.low:.3g} to {self.high:.3g})"


def mean(values: Float[np.ndarray, "clips"], *, seed: int = 0) -> Interval:
    """Return the mean over clips and its interval by the percentile bootstrap."""
    draws = np.random.default_rng(seed).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.quantile(np.asarray(values)[draws].mean(axis=1), [0.025, 0.975])
    return Interval(float(np.mean(values)), float(low), float(high))
