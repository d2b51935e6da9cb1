"""Wilcoxon's signed-rank test for many pairs at once, and Holm's correction."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

EXACT = 50
EXACT_TIED = 20
Values = NDArray[np.float64]


def test(differences: Values) -> tuple[Values, Values]:
    """Return the two-sided p of each row of `differences` (pairs, clips), and the sign of its rank sum (1, 0 or -1).

    Differences of 0 are dropped and equal sizes share their mean rank, as Wilcoxon did and as scipy's default does. The
    null distribution is exact for up to 50 differences, for up to 20 where sizes are equal (given the ranks); beyond, it is
    normal, with the variance of the ranks as they are, which is the correction for ties. p is 1 where nothing differs.
    """
    size = np.abs(differences)
    zero = size == 0
    ranks = np.where(zero, 0.0, stats.rankdata(size, axis=1) - zero.sum(axis=1, keepdims=True))
    up, total, squares = np.where(differences > 0, ranks, 0).sum(axis=1), ranks.sum(axis=1), (ranks**2).sum(axis=1)
    count = (~zero).sum(axis=1)
    tied = squares != count * (count + 1) * (2 * count + 1) / 6
    score = np.abs(up - total / 2) / np.sqrt(np.where(count, squares, 1) / 4)
    p = 2 * special.ndtr(-score)
    p[count == 0] = 1
    for number in np.unique(count[(count > 0) & (count <= EXACT) & ~tied]):
        rows = (count == number) & ~tied
        p[rows] = _two_sided(tuple(range(2, 2 * number + 1, 2)), 2 * up[rows])
    for row in np.flatnonzero(tied & (count <= EXACT_TIED)):
        doubled = tuple(np.sort(2 * ranks[row][~zero[row]]).astype(int).tolist())
        p[row] = _two_sided(doubled, 2 * up[row])
    return p, np.sign(2 * up - total)


def holm(p: Values) -> Values:
    """Return p-values corrected for being many (Holm 1979); NaN, where nothing was tested, counts for nothing."""
    corrected = np.full(len(p), np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(1, np.maximum.accumulate(factors * p[order]))
    return corrected


def _two_sided(doubled: tuple[int, ...], statistic: Values) -> Values:
    tail = _tail(doubled)
    place = np.rint(statistic).astype(int)
    return np.minimum(1, 2 * tail[np.minimum(place, len(tail) - 1 - place)])


@lru_cache(maxsize=10_000)
def _tail(doubled: tuple[int, ...]) -> Values:
    """Return P(sum <= k) for k = 0, 1, ... of a sum that takes each of the doubled ranks with probability 1/2."""
    chance = np.zeros(sum(doubled) + 1)
    chance[0] = 1
    for rank in doubled:
        chance[rank:] += chance[:-rank].copy()
        chance /= 2
    return np.cumsum(chance)
