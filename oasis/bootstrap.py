"""Bootstrap intervals over clips that hold at few clips; tables that hold the same clips are resampled alike."""

import hashlib
import json
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy import special, stats

RESAMPLES = 2000
LEAST_CLIPS = 3
"""Below this many clips there are no intervals: two numbers say too little about a spread."""
Values = Float[np.ndarray, "..."]


class Interval(NamedTuple):
    """Bounds of a 95 % interval, NaN where there are fewer than LEAST_CLIPS clips."""

    low: Values
    high: Values


def weights(clips: Sequence[str], resamples: int, seed: int) -> Float[np.ndarray, "resamples clips"]:
    """Return the weight of every clip in every resample, rows of sum 1; a clip draws from its own name.

    So tables that hold the same clips are resampled alike (paired), others independently, and order changes nothing. The
    weights are Dirichlet(1 - 2/n) (the Bayesian bootstrap, Rubin 1981, with another shape): a mean over n clips then varies
    between resamples by the unbiased s^2/n, where drawing n clips with replacement gives (n - 1)/n of that.
    """
    if len(clips) < LEAST_CLIPS:
        return np.full((resamples, len(clips)), 1 / len(clips))
    uniform = np.stack([_generator(clip, seed).random(resamples) for clip in clips], axis=1)
    drawn = special.gammaincinv(1 - 2 / len(clips), uniform)
    return drawn / drawn.sum(axis=1, keepdims=True)


def percentile(estimate: Values, resampled: Values, clips: int) -> Interval:
    """Return the percentile interval (axis 0 of `resampled` are the resamples), its arms stretched for few clips.

    For means. Plain percentiles are those of a normal distribution of known spread and too narrow where the spread is
    estimated from n clips: each arm is stretched by t(n - 1) / 1.96 (Hesterberg 2015 widens the levels to the same end).
    """
    low, _, high = _quantiles(resampled)
    stretch = _stretch(clips)
    return Interval(estimate - stretch * (estimate - low), estimate + stretch * (high - estimate))


def replaced(estimate: float, resampled: Float[np.ndarray, "resamples"], clips: int) -> tuple[float, float]:
    """Return the percentile interval of resamples that drew clips with replacement, its arms stretched for few clips.

    As in `percentile`, and by the root of n / (n - 1), because such a resample varies by (n - 1)/n of what clips do. Of one
    clip nothing is known of others: then the interval is that of whatever else was drawn. What was drawn besides clips is
    stretched with them, which errs on the cautious side.
    """
    low, _, high = _quantiles(resampled)
    wider = stats.t.ppf(0.975, clips - 1) / stats.norm.ppf(0.975) * math.sqrt(clips / (clips - 1)) if clips > 1 else 1.0
    return float(estimate - wider * (estimate - low)), float(estimate + wider * (high - estimate))


class Mean(NamedTuple):
    """A mean over clips and the bounds of its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """Return "value (low to high)", or the value alone where there are too few clips for an interval."""
        return f"{self.value:.3g}" + ("" if math.isnan(self.low) else f" ({self.low:.3g} to {self.high:.3g})")


def mean(by_clip: "pd.Series[float]", *, seed: int = 0) -> Mean:
    """Return the mean over clips of numbers that are indexed by the name of their clip, each once."""
    values = by_clip.to_numpy(np.float64)
    resampled = weights([str(name) for name in by_clip.index], RESAMPLES, seed) @ values
    low, high = percentile(values.mean(), resampled, len(values))
    return Mean(float(values.mean()), float(low), float(high))


def basic(estimate: Values, resampled: Values, clips: int, *, least: float = -math.inf, most: float = math.inf) -> Interval:
    """Return the basic (reversed) interval, its arms stretched for few clips, within [least, most], around the estimate.

    For what noise pulls one way, such as rank correlations (down) and shares of changed heads (up): a resample carries the
    noise of its clips twice, so that percentiles lie off by as much as the estimate is wrong, on the same side; the basic
    interval takes that off. BCa cannot: where all resamples lie below the estimate its correction is infinite.
    """
    low, middle, high = _quantiles(resampled)
    stretch, centre = _stretch(clips), 2 * estimate - middle
    bounds = centre - stretch * (high - middle), centre + stretch * (middle - low)
    lower, upper = (np.clip(bound, least, most) for bound in bounds)
    return Interval(np.minimum(lower, estimate), np.maximum(upper, estimate))


def distance(estimate: Values, resampled: Values, clips: int, *, most: float = math.inf) -> Interval:
    """Return the basic interval of a distance (0: alike), taken on its squares.

    The squares of distances add up with the variance of the noise, so that there the reflection takes off what noise adds; of
    the distances themselves it would take too little, and between equal tables the interval would not reach 0.
    """
    low, high = basic(estimate**2, resampled**2, clips, least=0, most=most**2)
    return Interval(np.sqrt(low), np.sqrt(high))


def widened(interval: Interval, resampled: Values) -> Interval:
    """Return an interval that also holds 95 % of the resamples.

    For what follows from decisions, which jump: there a basic interval alone holds the truth in 7 to 9 of 10 cases, this one
    in 9 of 10 or more (simulated, 8 clips, 24 and 48 heads).
    """
    low, _, high = _quantiles(resampled)
    return Interval(np.minimum(interval.low, low), np.maximum(interval.high, high))


def _quantiles(resampled: Values) -> Float[np.ndarray, "3 ..."]:
    return np.quantile(resampled, [0.025, 0.5, 0.975], axis=0)


def _stretch(clips: int) -> float:
    return float(stats.t.ppf(0.975, clips - 1) / stats.norm.ppf(0.975)) if clips >= LEAST_CLIPS else math.nan


def _generator(clip: str, seed: int) -> np.random.Generator:
    digest = hashlib.sha256(json.dumps([clip, seed]).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))
