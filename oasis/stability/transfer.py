"""Tables of different grids: what carries over from one to the other, KL in nats or KL as a share of a uniform head's."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float

from oasis import bootstrap
from oasis.stability import ranks
from oasis.stability.resampled import Resampled

STATISTICS = ("kl_mean", "kl_rel")
ALL = "all"
"""Stands for the heads under every pattern at once."""
COLUMNS = ["a", "b", "pattern", "statistic", "measure", "value", "low", "high", "clips_a", "clips_b"]
Values = Float[np.ndarray, "*resamples heads"]


def carried(tables: Sequence[Resampled], reference: Resampled) -> pd.DataFrame:
    """Return how the reference's statistics carry over to every table of another grid, in COLUMNS.

    For `kl_mean`, and for `kl_rel` = KL / log(N/|S|): `spearman`; `slope`, the least-squares slope of b's heads over a's, 1 if
    they carry over as they are (noise in `a` pulls it below); `error`, the mean |difference| over the mean of both.
    The statistic `kl_mean - kl_rel` has the differences of `spearman` and `error`, paired. Pattern `all` pools the heads under
    all patterns; within one, dividing by its constant cannot change ranks. Patterns that hold the whole grid of a
    table are left out.
    """
    rows = [row for each in tables if each.table.grid != reference.table.grid for row in _pair(reference, each)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _pair(a: Resampled, b: Resampled) -> Iterator[tuple[object, ...]]:
    used = [n for n in range(len(a.local)) if not (a.table.is_empty(n + 1) or b.table.is_empty(n + 1))]
    pooled = {ALL: used} if used else {}
    for pattern, numbers in {**{a.local[number]: [number] for number in used}, **pooled}.items():
        found = {}
        for statistic in STATISTICS:
            whole = [np.concatenate(each.means(statistic)[numbers]) for each in (a, b)]
            drawn = [np.concatenate(each.drawn_means(statistic)[numbers], axis=-1) for each in (a, b)]
            for measure, of in MEASURES.items():
                found[statistic, measure] = of(*whole), of(*drawn)
        for measure in ("spearman", "error"):
            one, other = (found[statistic, measure] for statistic in STATISTICS)
            found[" - ".join(STATISTICS), measure] = one[0] - other[0], one[1] - other[1]
        for (statistic, measure), (value, resampled) in found.items():
            least, most = (-1, 1) if measure == "spearman" and statistic in STATISTICS else (-np.inf, np.inf)
            low, high = bootstrap.basic(value, resampled, min(a.clips, b.clips), least=least, most=most)
            yield a.name, b.name, pattern, statistic, measure, float(value), float(low), float(high), a.clips, b.clips


def slope(one: Values, other: Values) -> Float[np.ndarray, "*resamples"]:
    """Return the least-squares slope of `other` over `one`; NaN where all of `one` are equal."""
    across, up = (values - values.mean(axis=-1, keepdims=True) for values in (one, other))
    with np.errstate(invalid="ignore", divide="ignore"):
        return (across * up).sum(axis=-1) / (across**2).sum(axis=-1)


def error(one: Values, other: Values) -> Float[np.ndarray, "*resamples"]:
    """Return the mean |difference| as a share of the mean of both; NaN where both are 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return 2 * np.abs(one - other).mean(axis=-1) / (one.mean(axis=-1) + other.mean(axis=-1))


MEASURES = {"spearman": ranks.spearman, "slope": slope, "error": error}
