"""Tables held against each other: how alike they rank heads, how many heads change their pattern, what that loses."""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from oasis import bootstrap
from oasis.stability import ranks
from oasis.stability.resampled import COSTLY, Resampled
from oasis.stability.routed import changed, regret

COLUMNS = ["a", "b", "pattern", "measure", "value", "low", "high", "clips_a", "clips_b", "clips_shared"]
CHANCE = "-chance"
"""Ends the names of measures between two drawings of the clips of one table."""
AGREEMENT = ("spearman", "kappa")
"""Measures that are high where tables are alike; the others are low."""


class Measured(NamedTuple):
    """One number with its bounds; `pattern` is empty where it is about the routing."""

    pattern: str
    measure: str
    value: float
    low: float
    high: float


def intervals(tables: Sequence[Resampled]) -> pd.DataFrame:
    """Return each head's mean over clips with its interval, one row per (table, pattern, layer, head)."""
    found = []
    for each in tables:
        low, high = bootstrap.percentile(each.mean, each.drawn.swapaxes(0, 1), each.clips)
        for number, pattern in enumerate(each.local):
            rows = each.places().assign(
                mean=each.mean[number], low=low[number].clip(min=0), high=high[number], clips=each.clips
            )
            rows.insert(1, "pattern", pattern)
            found.append(rows)
    return pd.concat(found, ignore_index=True)


def choices(tables: Sequence[Resampled], reference: Resampled) -> pd.DataFrame:
    """Return which pattern every head gets under every table, one row per (table, layer, head).

    `same`: 1 where it is that under the reference; `kept`: the share of resamples of the table's own clips that give it.
    """
    found = []
    for each in tables:
        routed = each.routed
        kept = (routed.drawn == routed.chosen).mean(axis=0)
        rows = each.places().assign(
            pattern=[each.table.patterns[number].name for number in routed.chosen],
            same=(routed.chosen == reference.routed.chosen).astype(int),
            kept=kept if each.clips >= bootstrap.LEAST_CLIPS else np.nan,
        )
        found.append(rows)
    return pd.concat(found, ignore_index=True)


def pairs(tables: Sequence[Resampled]) -> pd.DataFrame:
    """Return every measure between every two tables with its interval, in the columns COLUMNS.

    Per pattern `spearman`, `kendall` and `difference` (mean |difference| of the heads' means); of the routing `changed` (share
    of heads), `kappa`, and `regret` and `regret_share` (`routed.regret`) of the routing decided on `a` in the statistics of
    `b`; these two are there both ways. A measure with `-chance` behind its name is that between two drawings of the clips of
    one table, of the less stable of the two; its bounds hold 95 % of the drawings.
    """
    chances = {each.name: list(_chances(each)) for each in tables}
    rows = []
    for a, b in itertools.combinations(tables, 2):
        between = [*_measured(a, b), *map(_worse, chances[a.name], chances[b.name])]
        rows += [_row(a, b, each) for each in between]
        rows += [_row(one, other, each) for one, other in ((a, b), (b, a)) for each in _regrets(one, other)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _measured(a: Resampled, b: Resampled) -> Iterator[Measured]:
    clips = min(a.clips, b.clips)

    def alike(pattern: str, measure: str, value: np.ndarray, resampled: np.ndarray) -> Measured:
        low, high = bootstrap.basic(value, resampled, clips, least=-1, most=1)
        return Measured(pattern, measure, float(value), float(low), float(high))

    def decided(measure: str, value: np.ndarray, resampled: np.ndarray, most: float) -> Measured:
        low, high = bootstrap.widened(bootstrap.distance(value, resampled, clips, most=most), resampled)
        return Measured("", measure, float(value), float(low), float(high))

    for pattern, one, other, drawn, others in zip(a.local, a.mean, b.mean, a.drawn, b.drawn, strict=True):
        yield alike(pattern, "spearman", ranks.spearman(one, other), ranks.spearman(drawn, others))
        yield alike(pattern, "kendall", ranks.kendall(one, other), ranks.kendall(drawn[:COSTLY], others[:COSTLY]))
        apart = np.abs(one - other).mean()
        low, high = bootstrap.distance(apart, np.abs(drawn - others).mean(axis=-1), clips)
        yield Measured(pattern, "difference", float(apart), float(low), float(high))
    first, second = a.routed, b.routed
    yield decided("changed", changed(first.chosen, second.chosen), changed(first.drawn, second.drawn), 1)
    # Kappa's distance is what it lacks to 1; it is at most 2.
    value, resampled = ranks.kappa(first.chosen, second.chosen), ranks.kappa(first.drawn, second.drawn)
    lacking = decided("kappa", 1 - value, 1 - resampled, 2)
    yield Measured("", "kappa", float(value), 1 - lacking.high, 1 - lacking.low)


def _regrets(a: Resampled, b: Resampled) -> Iterator[Measured]:
    first, second = a.routed, b.routed
    value = regret(first.chosen, second.loss, second.pairs, second.front)
    drawn = [
        regret(chosen, loss, second.pairs, front)
        for chosen, loss, front in zip(first.drawn, second.drawn_loss, second.drawn_fronts, strict=True)
    ]
    basic = bootstrap.basic(np.array(value), np.array(drawn), min(a.clips, b.clips), least=0)
    low, high = bootstrap.widened(basic, np.array(drawn))
    for number, measure in enumerate(("regret", "regret_share")):
        yield Measured("", measure, value[number], float(low[number]), float(high[number]))


def _chances(each: Resampled) -> Iterator[Measured]:
    """Yield what two drawings of the clips of one table differ by: every resample against the next one."""
    known = each.clips >= bootstrap.LEAST_CLIPS

    def spread(pattern: str, measure: str, drawn: np.ndarray) -> Measured:
        numbers = (drawn.mean(), *np.quantile(drawn, [0.025, 0.975])) if known else (np.nan,) * 3
        return Measured(pattern, measure + CHANCE, *map(float, numbers))

    for pattern, drawn in zip(each.local, each.drawn, strict=True):
        yield spread(pattern, "spearman", ranks.spearman(drawn[:-1], drawn[1:]))
    routed = each.routed
    yield spread("", "changed", changed(routed.drawn[:-1], routed.drawn[1:]))
    lost = [
        regret(chosen, loss, routed.pairs, front)[1]
        for chosen, loss, front in zip(routed.drawn[:-1], routed.drawn_loss[1:], routed.drawn_fronts[1:], strict=True)
    ]
    yield spread("", "regret_share", np.array(lost))


def _worse(one: Measured, other: Measured) -> Measured:
    high_is_alike = one.measure.removesuffix(CHANCE) in AGREEMENT
    return min(one, other, key=lambda each: each.value if high_is_alike else -each.value)


def _row(a: Resampled, b: Resampled, each: Measured) -> tuple[object, ...]:
    shared = len(set(a.table.clips) & set(b.table.clips))
    return a.name, b.name, *each, a.clips, b.clips, shared
