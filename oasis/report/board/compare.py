"""The paired comparison of two methods as text for a terminal."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from oasis import measures
from oasis.report.board import statistics
from oasis.report.board.boards import number
from oasis.report.board.rows import Rows


def lines(rows: Rows, one: str, two: str) -> Iterator[str]:
    """Yield a table with a row for every data set and measure that both methods have; ValueError for an unknown method.

    p is corrected for all pairs of the board, as everywhere.
    """
    known = list(rows.scores["method"].cat.categories)
    for name in (one, two):
        if name not in known:
            raise ValueError(f"there are no scores of a method {name!r}; allowed: {', '.join(known) or 'none yet'}")
    if one == two:
        raise ValueError(f"both methods are {one!r}; allowed: two methods")
    found = statistics.comparisons(rows.scores)
    first, second = sorted((one, two))
    found = found[(found["method_a"] == first) & (found["method_b"] == second)]
    if found.empty:
        raise ValueError(f"{one!r} and {two!r} have no measure on one data set in common; allowed: two methods that have")
    table = [
        ("data set", "measure", f"{first} - {second}", "95 % interval", "clips", "p (Holm)", "better"),
        *map(_row, found.to_dict("records")),
    ]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    yield "mean difference over clips, percentile bootstrap, Wilcoxon's signed-rank test corrected for all pairs of a measure"


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    digits = measures.find(row["measure"]).digits
    if pd.isna(row["p"]):
        return (row["dataset"], row["measure"], "-", "-", str(row["n"]), "-", "not compared: incomplete, or another protocol")
    change = "-" if pd.isna(row["difference"]) else f"{row['difference'] + 0.0:+.{digits}f}"
    bounds = "-" if pd.isna(row["low"]) else f"{number(row['low'], digits)} .. {number(row['high'], digits)}"
    names = {
        side: row[f"method_{side}"] + ("" if row[f"kind_{side}"] == "measured here" else " (others)") for side in ("a", "b")
    }
    winner = names.get(row["better"], "no difference shown")
    return (row["dataset"], row["measure"], change, bounds, str(row["n"]), f"{row['p_holm']:.3g}", winner)
