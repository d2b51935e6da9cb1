"""Rows that are not of one protocol with the others: found, marked, and told in a sentence for each file."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from oasis import measures

REASONS = ("", "other version", "other reference", "other input", "other frames")
_SENTENCES = {
    "other version": "{rows} of an older or newer version of their measure",
    "other reference": "{rows} scored against another reference than the others",
    "other input": "{rows} of outputs made from another low-quality input than the others",
    "other frames": "{rows} over another number of frames than the others",
}


def mark(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with the column `apart`: the first reason why a row is not compared with others, "" if there is none.

    Rows of one clip (and measure, for frames) agree with the rule: what most rows measured here have, else what most rows
    have, the first in order where as many have two things.
    """
    ok = (scores["status"] == "ok").to_numpy()
    found = {name: measures.find(name) for name in scores["measure"].cat.categories}
    current = _of_measure(scores, {name: measure.version for name, measure in found.items()})
    compared = _of_measure(scores, {name: measure.needs != "nothing" for name, measure in found.items()}).astype(bool)
    tests = {
        "other version": scores["version"].to_numpy() != current,
        "other reference": _unlike(scores, ok & compared, ["dataset", "clip"], "reference_sha256"),
        "other input": _unlike(scores, (scores["lq_sha256"] != "").to_numpy(), ["dataset", "clip"], "lq_sha256"),
        "other frames": _unlike(scores, ok, ["dataset", "measure", "clip"], "frames"),
    }
    codes = np.zeros(len(scores), dtype=np.int8)
    for reason, test in reversed(tests.items()):
        codes[test] = REASONS.index(reason)
    return scores.assign(apart=pd.Categorical.from_codes(codes, categories=list(REASONS)))


def sentences(scores: pd.DataFrame) -> Iterator[str]:
    """Yield what is shown but not compared, a sentence for each file and reason."""
    rows = scores[scores["apart"] != ""]
    for (file, reason), part in rows.groupby(["file", "apart"], observed=True, sort=True):
        first = part.loc[part["line"].idxmin()]
        said = _SENTENCES[str(reason)].format(rows=f"{len(part)} row{'s are' if len(part) > 1 else ' is'}")
        yield (
            f"{file}: {said} (first line {first['line']}: {first['measure']} of clip {first['clip']}):"
            " shown, neither ranked nor compared"
        )


def _of_measure(scores: pd.DataFrame, known: dict[str, int | bool]) -> NDArray[np.int64]:
    order = np.array([int(known[name]) for name in scores["measure"].cat.categories], dtype=np.int64)
    return order[scores["measure"].cat.codes.to_numpy()]


def _unlike(scores: pd.DataFrame, rows: NDArray[np.bool_], group: list[str], field: str) -> NDArray[np.bool_]:
    """Return which of `rows` differ in `field` from what the rule is in their group."""
    part = scores.loc[rows, [*group, field]].assign(here=(scores.loc[rows, "kind"] == "measured here").astype(int))
    counts = part.groupby([*group, field], observed=True)["here"].agg(["sum", "size"]).reset_index()
    rule = counts.sort_values([*group, "sum", "size", field], ascending=[*[True] * len(group), False, False, True])
    rule = rule.drop_duplicates(group)
    unlike = np.zeros(len(scores), dtype=bool)
    if len(rule) < len(counts):
        wanted = part.merge(rule[[*group, field]], on=group, how="left", suffixes=("", "_rule"))
        unlike[rows] = (wanted[field].astype(object) != wanted[f"{field}_rule"].astype(object)).to_numpy()
    return unlike
