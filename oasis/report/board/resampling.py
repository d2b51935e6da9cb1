"""The percentile bootstrap over clips: the same resamples for every method, so that differences and ranks share them."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

RESAMPLES = 2001
LOW, HIGH = 50, 1950
"""Order statistics at 2.5 % and 97.5 % of the resamples: whole numbers, so that nothing is interpolated."""
Values = NDArray[np.float64]


@lru_cache
def weights(clips: int) -> Values:
    """Return the share of every clip in every resample, (RESAMPLES, clips), rows of sum 1; the same in every run."""
    # RandomState's stream is frozen for good (NEP 19), a Generator's is not, and reports must come out alike for years.
    drawn = np.random.RandomState(0).randint(clips, size=(RESAMPLES, clips))
    cells = drawn + clips * np.arange(RESAMPLES)[:, None]
    return np.bincount(cells.ravel(), minlength=RESAMPLES * clips).reshape(RESAMPLES, clips) / clips


def means(values: Values) -> Values:
    """Return the mean of each row of `values` (methods, clips) in every resample, (methods, RESAMPLES)."""
    share = weights(values.shape[1])
    found = np.where(np.isinf(values), 0, values) @ share.T
    for infinity in (np.inf, -np.inf):
        hit = values == infinity
        if hit.any():
            found[(hit.astype(float) @ share.T) > 0] = infinity
    return found


def interval(resampled: NDArray[np.floating]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Return the bounds of the 95 % interval of every row (..., RESAMPLES)."""
    ordered = np.sort(resampled, axis=-1)  # faster than np.partition with its two places
    return ordered[..., LOW], ordered[..., HIGH]


def ranks(distances: Values, digits: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return rank (1 is best) and the bounds of its 95 % interval for `distances` (methods, clips), the lower the better.

    Means that agree in `digits` decimals share a rank. The interval is widened to hold the rank where it does not.
    """
    rank = stats.rankdata(np.round(distances.mean(axis=1), digits), method="min").astype(np.int64)
    resampled = np.round(means(distances).T, digits)
    low, high = interval(np.ascontiguousarray(stats.rankdata(resampled, method="min", axis=1).T))
    return rank, np.minimum(rank, low.astype(np.int64)), np.maximum(rank, high.astype(np.int64))
