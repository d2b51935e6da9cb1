"""Reported numbers beside ours: both protocols shown, and said where they are not known to be the same."""

import math

import pandas as pd

from oasis.report.board.rows import Rows

PRINTED = ["metric", "value", "protocol", "source", "factor", "status"]
OURS = ["measure", "mean", "kind", "n_ok", "n_expected"]
COLUMNS = ["method", "dataset", "reported_dataset", *PRINTED, *OURS, "differs", "flag"]


def against_reported(rows: Rows, summary: pd.DataFrame) -> pd.DataFrame:
    """Return one row per reported number of a method that has scores on the same data set, sorted by data set and metric.

    `metric, value, protocol, source` are as printed; `measure, mean, kind` are ours, "" and NaN where no measure of ours is
    what was printed, and `factor` times our mean is in the printed unit. `differs` is True where the definition is not known
    to be the same; `flag` says why in words, and what is known of the input, which may differ all the same.
    """
    names = {text.casefold(): card.name for card in rows.cards.values() for text in (card.title, card.name)}
    found = []
    for row in rows.reported.to_dict("records"):
        method = names.get(row["method"].casefold())
        ours = summary[(summary["method"] == method) & (summary["dataset"] == row["card"])]
        if method is None or ours.empty:
            continue
        same = ours[ours["measure"] == row["measure"]]
        sides = same.to_dict("records") or [{"measure": "", "mean": math.nan, "kind": "", "n_ok": 0, "n_expected": 0}]
        found += [_beside(row, method, side) for side in sides]
    frame = pd.DataFrame(found, columns=COLUMNS)
    return frame.sort_values(["dataset", "metric", "method", "protocol", "source", "kind"], kind="stable", ignore_index=True)


def _beside(row: dict, method: str, ours: dict) -> dict:
    return {
        **{name: row[name] for name in PRINTED},
        **{name: ours[name] for name in OURS},
        "method": method,
        "dataset": row["card"],
        "reported_dataset": row["dataset"],
        "differs": row["status"] != "same",
        "flag": _flag(row, ours),
    }


def _flag(row: dict, ours: dict) -> str:
    said = {
        "same": f"the definition is the same: {row['note']}",
        "inferred": f"the definition is inferred, not stated: {row['note']}",
        "unknown": f"the definition is not known: {row['note']}",
        "irreproducible": f"nobody can reproduce this column: {row['note']}",
    }[row["status"]]
    if row["measure"] and not ours["measure"]:
        said += f"; {row['measure']} was not measured"
    return f"{said}; input: {row['card_note']}"
