"""The leaderboard as files: Markdown for people, CSV for programs, LaTeX for papers, and all comparisons."""

import csv
import io
from pathlib import Path

import numpy as np
import pandas as pd

from oasis import files, measures
from oasis.report.board import latex, markdown, statistics
from oasis.report.board.beside import against_reported
from oasis.report.board.rows import Rows

LEADERBOARD = [
    *("kind", "dataset", "measure", "protocol", "method", "mean", "low", "high", "n_ok", "n_expected"),
    *("rank", "rank_low", "rank_high", "unit", "better", "apart", "align", "source"),
]


def write_board(rows: Rows, out: Path) -> list[Path]:
    """Write leaderboard.md, .csv, .tex and comparisons.csv into `out`, each whole or not at all; return their paths."""
    summary, comparisons = statistics.summary(rows.scores), statistics.comparisons(rows.scores)
    texts = {
        "leaderboard.md": markdown.text(rows, summary, comparisons, against_reported(rows, summary)),
        "leaderboard.csv": leaderboard(rows, summary),
        "leaderboard.tex": latex.text(rows, summary),
        "comparisons.csv": pairs(comparisons),
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        files.write_text(out / name, text)
    return [out / name for name in texts]


def leaderboard(rows: Rows, summary: pd.DataFrame) -> str:
    """Return all values as CSV, measured ones first; means have two decimals more than a clip's value is printed with.

    For a reported row `measure` and `protocol` are as printed and `source` says where; for a measured one `source` is the file
    of its scores.
    """
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, LEADERBOARD, restval="", lineterminator="\n", extrasaction="ignore")
    table.writeheader()
    for row in summary.to_dict("records"):
        numbers = {name: fixed(row[name], row["digits"] + 2) for name in ("mean", "low", "high")}
        ranks = {name: "" if pd.isna(row[name]) else row[name] for name in ("rank", "rank_low", "rank_high")}
        table.writerow({**row, **numbers, **ranks, "source": row["file"]})
    for row in rows.reported.to_dict("records"):
        better = "higher" if row["higher_is_better"] else "lower"
        printed = {"measure": row["metric"], "mean": f"{row['value']:.10g}", "better": better, "kind": "reported"}
        table.writerow({name: row[name] for name in ("dataset", "protocol", "method", "source")} | printed)
    return text.getvalue()


def pairs(comparisons: pd.DataFrame) -> str:
    """Return all comparisons as CSV; differences with two decimals more than a clip's value, p with six digits."""
    frame = comparisons.copy()
    for measure in frame["measure"].unique() if len(frame) else ():
        rows = (frame["measure"] == measure).to_numpy()
        for name in ("difference", "low", "high"):
            # + 0.0: no value is written as -0
            frame.loc[rows, name] = np.round(frame.loc[rows, name], measures.find(str(measure)).digits + 2) + 0.0
    for name in ("p", "p_holm"):
        frame[name] = frame[name].map(lambda p: "" if pd.isna(p) else f"{p:.6g}")
    return str(frame.to_csv(index=False, float_format="%.10g", lineterminator="\n"))


def fixed(value: float, digits: int) -> str:
    """Return a value with at most `digits` decimals, "" for NaN: the same text for sums that rounded differently."""
    return "" if np.isnan(value) else f"{np.round(value, digits) + 0.0:.12g}"
