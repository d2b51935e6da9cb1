"""Leaderboards as data, before they become Markdown or LaTeX: one table per data set and kind of value, never mixed."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from oasis.report.board.rows import KINDS, Rows

ARROWS = {"higher": "↑", "lower": "↓", "zero": "→ 0", "one": "→ 1"}
Mark = Literal["best", "second", ""]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One value as text: its mean, interval, rank, clips; "" for what there is none of. `note` is a short warning."""

    value: str = ""
    interval: str = ""
    rank: str = ""
    clips: str = ""
    mark: Mark = ""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Board:
    """One table: methods by measures. `kind` is one of three, `source` says where a reported one stands."""

    dataset: str
    kind: str
    protocol: str
    source: str
    columns: tuple[str, ...]
    heads: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    notes: tuple[str, ...]


def measured(summary: pd.DataFrame) -> Iterator[Board]:
    """Yield a board for every data set and kind that has scores; rows are names of methods."""
    for dataset in sorted(summary["dataset"].unique()):
        for kind in KINDS.values():
            part = summary[(summary["dataset"] == dataset) & (summary["kind"] == kind)]
            if len(part):
                yield _measured(dataset, kind, part)


def reported(rows: Rows) -> Iterator[Board]:
    """Yield a board for every data set, protocol and source of reported numbers; rows are methods as they were printed."""
    for (dataset, protocol, source), part in rows.reported.groupby(["dataset", "protocol", "source"], sort=True):
        yield _reported(str(dataset), str(protocol), str(source), part)


def _measured(dataset: str, kind: str, part: pd.DataFrame) -> Board:
    columns = sorted(part["measure"].unique())
    better = part.drop_duplicates("measure").set_index("measure")["better"]
    cells = {(row["method"], row["measure"]): _cell(row) for row in part.to_dict("records")}
    policies = part[~part["align"].isin(("none", ""))].drop_duplicates(["method", "align"])
    notes = [f"{row['method']} was scored under --align {row['align']}" for row in policies.to_dict("records")]
    return Board(
        dataset=dataset,
        kind=kind,
        protocol="",
        source="",
        columns=tuple(columns),
        heads=tuple(f"{name} {ARROWS[better[name]]}" for name in columns),
        rows=_rows(part["method"], cells, columns),
        notes=tuple(notes),
    )


def _cell(row: dict) -> Cell:
    clips = f"{row['n_ok']}/{row['n_expected']}"
    aligned = "" if row["align"] in ("none", "") else "aligned"
    if not row["complete"]:
        return Cell(clips=clips, note="incomplete")
    digits = row["digits"]
    bounds = f"[{number(row['low'], digits)}, {number(row['high'], digits)}]" if np.isfinite(row["low"]) else ""
    ranked = not pd.isna(row["rank"])
    place = _rank(row) if ranked else ""
    mark: Mark = {1: "best", 2: "second"}.get(row["rank"], "") if ranked else ""  # type: ignore[assignment]
    note = row["apart"] or aligned
    return Cell(value=number(row["mean"], digits), interval=bounds, rank=place, clips=clips, mark=mark, note=note)


def _rank(row: dict) -> str:
    if pd.isna(row["rank_low"]):
        return f"{row['rank']}"
    if row["rank_low"] == row["rank_high"]:
        return f"{row['rank']} ({row['rank_low']})"
    return f"{row['rank']} ({row['rank_low']}–{row['rank_high']})"  # noqa: RUF001


def number(value: float, digits: int) -> str:
    """Return a value with fixed decimals, never as -0."""
    return f"{round(value, digits) + 0.0:.{digits}f}" if np.isfinite(value) else f"{value}"


def _reported(dataset: str, protocol: str, source: str, part: pd.DataFrame) -> Board:
    columns = sorted(part["metric"].unique())
    cells: dict[tuple[str, str], Cell] = {}
    heads, notes = [], []
    for name in columns:
        rows = part[part["metric"] == name]
        first = rows.iloc[0]
        heads.append(f"{name} {'↑' if first['higher_is_better'] else '↓'}")
        notes.append(f"{name}: {_meaning(first)}")
        digits = max(_decimals(value) for value in rows["value"])
        ranks = rows["value"].rank(method="min", ascending=not first["higher_is_better"])
        for method, value, rank in zip(rows["method"], rows["value"], ranks, strict=True):
            mark: Mark = ("best" if rank == 1 else "second" if rank == 2 else "") if len(rows) > 1 else ""
            cells[method, name] = Cell(value=number(value, digits), mark=mark)
    return Board(
        dataset=dataset,
        kind="reported",
        protocol=protocol,
        source=source,
        columns=tuple(columns),
        heads=tuple(heads),
        rows=_rows(part["method"], cells, columns),
        notes=(*notes, f"input: {part['card_note'].iloc[0]}"),
    )


def _meaning(row: pd.Series) -> str:
    if row["status"] in ("unknown", "irreproducible"):
        return f"{row['status']}, {row['note']}"
    times = "" if row["factor"] == 1 else f" times {row['factor']:g}"
    return f"{row['measure']}{times} ({row['status']}: {row['note']})"


def _decimals(value: float) -> int:
    return len(repr(float(value)).partition(".")[2].rstrip("0"))


def _rows(
    methods: pd.Series, cells: dict[tuple[str, str], Cell], columns: list[str]
) -> tuple[tuple[str, tuple[Cell, ...]], ...]:
    names = sorted(map(str, methods.unique()), key=lambda name: (name.casefold(), name))
    return tuple((name, tuple(cells.get((name, column), Cell()) for column in columns)) for name in names)
