"""Agreement of two lists over the last axis, for many resamples at once: rank correlations and Cohen's kappa."""

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

CHUNK = 2_000_000
"""Pairs of heads whose order is compared at a time: some tens of megabytes."""
Values = Float[np.ndarray, "*resamples heads"]


def spearman(one: Values, other: Values) -> Float[np.ndarray, "*resamples"]:
    """Return Spearman's rank correlation, ties at their mean rank; NaN where all values of one side are equal."""
    ranks = [stats.rankdata(values, axis=-1) for values in (one, other)]
    first, second = (rank - rank.mean(axis=-1, keepdims=True) for rank in ranks)
    return _ratio((first * second).sum(axis=-1), (first**2).sum(axis=-1), (second**2).sum(axis=-1))


def kendall(one: Values, other: Values) -> Float[np.ndarray, "*resamples"]:
    """Return Kendall's tau-b; NaN where all values of one side are equal."""
    heads, shape = one.shape[-1], one.shape[:-1]
    left, right = np.triu_indices(heads, 1)
    flat = [values.reshape(-1, heads) for values in (one, other)]
    step = max(1, CHUNK // max(1, len(left)))
    found = []
    for start in range(0, len(flat[0]), step):
        part = [values[start : start + step] for values in flat]
        first, second = (np.sign(values[:, left] - values[:, right]) for values in part)
        found.append(_ratio((first * second).sum(axis=-1), (first**2).sum(axis=-1), (second**2).sum(axis=-1)))
    return np.concatenate(found).reshape(shape)


def kappa(
    one: Int[np.ndarray, "*resamples heads"], other: Int[np.ndarray, "*resamples heads"]
) -> Float[np.ndarray, "*resamples"]:
    """Return Cohen's kappa: agreement above that of lists that know nothing of each other; 1 where nothing differs."""
    agreed = (one == other).mean(axis=-1)
    kinds = range(1 + int(max(one.max(), other.max())))
    chance = sum((one == kind).mean(axis=-1) * (other == kind).mean(axis=-1) for kind in kinds)
    left = 1 - np.asarray(chance, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(agreed == 1, 1.0, (agreed - chance) / left)


def _ratio(product: Values, first: Values, second: Values) -> Values:
    with np.errstate(invalid="ignore", divide="ignore"):
        return product / np.sqrt(first * second)
