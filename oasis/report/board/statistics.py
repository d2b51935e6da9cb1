"""Means with intervals, ranks with their uncertainty, and paired comparisons: what rows say, without a composite score.

A measure's `distance` is what is ranked and tested, the lower the better: the value itself or its negative, or for measures
whose good value is 0 or 1 how far each clip lies from it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from oasis import measures
from oasis.measures import Measure
from oasis.report.board import clips, resampling, signed_rank

KEY = ["dataset", "measure", "method", "kind"]
MEANS = ["mean", "low", "high", "n_ok", "n_expected", "complete", "unit", "better", "digits"]
RANKS = ["rank", "rank_low", "rank_high"]
SUMMARY = [*KEY, *MEANS, *RANKS, "apart", "align", "file"]
PAIR = ["dataset", "measure", "method_a", "kind_a", "method_b", "kind_b"]
COMPARISONS = [*PAIR, "n", "difference", "low", "high", "p", "p_holm", "better"]
ALPHA = 0.05
Values = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Group:
    """All values of one measure on one data set.

    `entries` has a row per method and kind, sorted by both: method, kind, apart, align, file. `values` (entries, clips) is
    NaN where there is none; clips are those that a complete method has.
    """

    dataset: str
    measure: Measure
    entries: pd.DataFrame
    values: Values

    @property
    def complete(self) -> NDArray[np.bool_]:
        """Say which entries have a value for every clip."""
        return np.asarray(~np.isnan(self.values).any(axis=1))

    @property
    def compared(self) -> NDArray[np.bool_]:
        """Say which entries are ranked and compared: complete ones of one protocol."""
        return self.complete & np.asarray(self.entries["apart"] == "")

    @property
    def distances(self) -> Values:
        """Return how far each value is from good, up to a constant."""
        target = {"higher": None, "lower": None, "zero": 0.0, "one": 1.0}[self.measure.better]
        if target is not None:
            return np.abs(self.values - target)
        return -self.values if self.measure.better == "higher" else self.values

    @property
    def printed(self) -> int:
        """Return how many decimals tables keep: two more than a clip's value has."""
        return self.measure.digits + 2


def groups(scores: pd.DataFrame) -> Iterator[Group]:
    """Yield the values of every data set and measure, in this order, from rows in any order."""
    names = ("dataset", "measure", "method", "kind", "clip")
    codes = {name: scores[name].cat.codes.to_numpy().astype(np.int64) for name in names}
    order = np.lexsort([codes[name] for name in reversed(names)])
    present = {
        name: np.unique(codes["clip"][codes["dataset"] == number])
        for number, name in enumerate(scores["dataset"].cat.categories)
    }
    key = codes["dataset"] * (1 + codes["measure"].max(initial=0)) + codes["measure"]
    for part in np.split(order, 1 + np.flatnonzero(np.diff(key[order]))) if len(scores) else ():
        first = scores.iloc[part[0]]
        found = scores["clip"].cat.categories[present[str(first["dataset"])]]
        wanted = clips.expected(str(first["dataset"]), found)
        yield _group(scores, part, codes, str(first["dataset"]), measures.find(str(first["measure"])), wanted)


def _group(
    scores: pd.DataFrame,
    part: NDArray[np.int64],
    codes: dict[str, NDArray[np.int64]],
    dataset: str,
    measure: Measure,
    wanted: tuple[str, ...],
) -> Group:
    entry = codes["method"][part] * (1 + codes["kind"].max()) + codes["kind"][part]
    starts = np.flatnonzero(np.r_[True, np.diff(entry) != 0])
    number = np.cumsum(np.r_[True, np.diff(entry) != 0]) - 1
    place = pd.Index(wanted).get_indexer(scores["clip"].cat.categories)[codes["clip"][part]]
    values = np.full((len(starts), len(wanted)), np.nan)
    values[number, place] = scores["value"].to_numpy()[part]
    entries = {name: scores[name].iloc[part[starts]].astype(str).to_numpy() for name in ("method", "kind", "file")}
    for name, neutral in (("apart", ""), ("align", "none")):
        entries[name] = _strongest(scores[name], neutral, part, starts)
    return Group(dataset=dataset, measure=measure, entries=pd.DataFrame(entries), values=values)


def _strongest(column: pd.Series, neutral: str, part: NDArray[np.int64], starts: NDArray[np.int64]) -> NDArray[Any]:
    """Return for each entry, whose rows begin at `starts`, the last category that is not `neutral`, if any row has one."""
    categories = column.cat.categories
    codes = column.cat.codes.to_numpy()[part]
    codes = np.where(codes == categories.get_indexer([neutral])[0], -1, codes)
    highest = np.maximum.reduceat(codes, starts)
    return np.where(highest < 0, neutral, categories.to_numpy().astype(object)[highest])


def summary(scores: pd.DataFrame) -> pd.DataFrame:
    """Return one row per data set, measure, method and kind, sorted by data set, measure, kind, rank and name.

    `mean` is NaN where a clip is missing: nothing is averaged over survivors. `low`, `high`: 95 % percentile bootstrap over
    clips, NaN also where there are fewer than 2 clips or a value is infinite. `rank`, `rank_low`, `rank_high`: among complete
    rows of one protocol and one kind, 1 is best, equal means share a rank; <NA> for the others, and without bounds for a
    single clip. `apart` says why a complete row is not ranked, `align` under which policy it was scored.
    """
    parts = [_summary(group) for group in groups(scores)]
    frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=SUMMARY)
    for name in RANKS:
        frame[name] = frame[name].astype("Int64")
    return frame.sort_values(["dataset", "measure", "kind", "rank", "method"], kind="stable", ignore_index=True)[SUMMARY]


def _summary(group: Group) -> pd.DataFrame:
    frame = group.entries.assign(
        dataset=group.dataset,
        measure=group.measure.name,
        mean=np.nan,
        low=np.nan,
        high=np.nan,
        n_ok=(~np.isnan(group.values)).sum(axis=1),
        n_expected=group.values.shape[1],
        complete=group.complete,
        unit=group.measure.unit,
        better=group.measure.better,
        digits=group.measure.digits,
    )
    whole = group.complete
    frame.loc[whole, "mean"] = group.values[whole].mean(axis=1)
    finite = np.isfinite(group.values).all(axis=1)
    if group.values.shape[1] > 1 and finite.any():
        frame.loc[finite, "low"], frame.loc[finite, "high"] = resampling.interval(resampling.means(group.values[finite]))
    return frame.join(_ranks(group))


def _ranks(group: Group) -> pd.DataFrame:
    found = pd.DataFrame(np.nan, index=group.entries.index, columns=RANKS)
    for kind in group.entries["kind"].unique():
        rows = group.compared & (group.entries["kind"] == kind).to_numpy()
        if rows.any():
            found.loc[rows] = np.stack(resampling.ranks(group.distances[rows], group.printed), axis=1)
    if group.values.shape[1] < 2:
        found[RANKS[1:]] = np.nan
    return found


def comparisons(scores: pd.DataFrame) -> pd.DataFrame:
    """Return one row per data set, measure and pair of methods, those of different kinds included, sorted by all of these.

    `difference` is the mean over clips of a - b (of the distances from 0 or 1, where that is what is good), `low` and `high`
    its 95 % interval over the same resamples of clips for both; NaN where a value is infinite. `p` is Wilcoxon's signed-rank
    test over clips, `p_holm` corrected for all pairs of this data set and measure. `better` is "a" or "b" where p_holm is
    below 0.05 and mean and ranks point the same way, else "neither". Methods that are not complete, or not of one protocol,
    are not compared: they have `n`, the clips that both have, and no numbers.
    """
    parts = [_comparisons(group) for group in groups(scores) if len(group.entries) > 1]
    if not parts:
        return pd.DataFrame(columns=COMPARISONS)
    frame = pd.concat(parts, ignore_index=True)
    for name in (*PAIR, "better"):
        frame[name] = frame[name].astype("category")
    return frame


def _comparisons(group: Group) -> pd.DataFrame:
    first, second = np.triu_indices(len(group.entries), 1)
    has = (~np.isnan(group.values)).astype(float)
    measured = {name: np.full(len(first), np.nan) for name in ("difference", "low", "high", "p", "sign")}
    pairs = np.flatnonzero(group.compared[first] & group.compared[second])
    if len(pairs):
        for name, values in _pairs(group, first[pairs], second[pairs]).items():
            measured[name][pairs] = values
    corrected = signed_rank.holm(measured["p"])
    names = {name: pd.Categorical(group.entries[name]) for name in ("method", "kind")}
    texts = {
        f"{name}_{side}": pd.Categorical.from_codes(column.codes[index], dtype=column.dtype)
        for side, index in (("a", first), ("b", second))
        for name, column in names.items()
    }
    return pd.DataFrame(
        {
            "dataset": pd.Categorical([group.dataset] * len(first)),
            "measure": pd.Categorical([group.measure.name] * len(first)),
            **{name: texts[name] for name in PAIR[2:]},
            "n": np.rint((has @ has.T)[first, second]).astype(np.int64),
            **{name: measured[name] for name in ("difference", "low", "high", "p")},
            "p_holm": corrected,
            "better": _better(group.measure, measured["difference"], measured["sign"], corrected),
        }
    )


def _pairs(group: Group, first: NDArray[np.int64], second: NDArray[np.int64]) -> dict[str, Values]:
    values = group.distances if group.measure.better in ("zero", "one") else group.values
    with np.errstate(invalid="ignore"):
        differences = values[first] - values[second]
    p, sign = signed_rank.test(np.where(values[first] == values[second], 0, differences))
    finite = np.isfinite(differences).all(axis=1)
    found = {"difference": np.where(finite, differences.mean(axis=1), np.nan), "p": p, "sign": sign}
    low, high = np.full(len(first), np.nan), np.full(len(first), np.nan)
    if values.shape[1] > 1:
        resampled = resampling.means(values)
        for one in np.unique(first):
            rows = np.flatnonzero((first == one) & finite)
            drawn = resampled[one] - resampled[second[rows]]
            low[rows], high[rows] = resampling.interval(drawn.astype(np.float32))  # 7 digits, sorted in half the time
    return {**found, "low": low, "high": high}


def _better(measure: Measure, difference: Values, sign: Values, p: Values) -> pd.Categorical:
    agreed = np.isnan(difference) | (np.sign(difference) == sign)
    shown = (p < ALPHA) & agreed
    a_wins = sign == (1 if measure.better == "higher" else -1)
    codes = np.where(shown, np.where(a_wins, 0, 1), 2)
    return pd.Categorical.from_codes(codes, categories=["a", "b", "neither"])
