"""What the tables of the page say: per data set, measured methods by measures, and what was reported, apart."""

import math
from collections.abc import Hashable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import pandas as pd

from oasis import measures
from oasis.report.board.rows import Rows
from oasis.report.site.kinds import KINDS, OTHERS, REPORTED, Kind
from oasis.report.site.names import address, slugs

ARROWS = {"higher": "↑", "lower": "↓", "zero": "→ 0", "one": "→ 1"}
PLACES = {1: "best", 2: "second"}


class Column(NamedTuple):
    """A column: its heading, the measure it is (or "" where it is none of ours), where good values lie, and a remark."""

    heading: str
    measure: str
    better: str
    remark: str


class Cell(NamedTuple):
    """A number as text, the number itself for sorting ("" where there is none), what stands below it, and its rows."""

    text: str
    value: str
    below: tuple[str, ...]
    place: str  # "best", "second" or "", within the kind
    mark: str  # the same in words
    link: str


class Line(NamedTuple):
    """A row of a table: a method under one kind, and a cell (or None) per column."""

    method: str
    title: str
    words: str  # that the text filter looks at
    kind: Kind
    cells: list[Cell | None]


class Table(NamedTuple):
    """A table of one kind of number; `note` says what to know before reading it."""

    key: str
    title: str
    note: str
    reported: bool
    columns: list[Column]
    lines: list[Line]


class Section(NamedTuple):
    """Everything about one data set."""

    name: str
    key: str
    tables: list[Table]


class Places(NamedTuple):
    """File names of the methods and data sets that have pages of rows, and of the data sets of reported numbers."""

    methods: dict[str, str]
    datasets: dict[str, str]
    reported: dict[str, str]


def places(rows: Rows) -> Places:
    """Return the file names of everything that the page links to."""
    return Places(
        slugs(rows.scores["method"].astype(str).unique(), reserved=("reported",)),
        slugs(rows.scores["dataset"].astype(str).unique()),
        slugs(rows.reported["dataset"].astype(str).unique()),
    )


def sections(rows: Rows, summary: pd.DataFrame) -> list[Section]:
    """Return a section per data set: measured ones first, then those of which only reported numbers are known."""
    where = places(rows)
    measured = {str(name): part for name, part in summary.groupby("dataset", observed=True, sort=True)}
    home = rows.reported["card"].where(rows.reported["card"].notna(), rows.reported["dataset"]).astype(str)
    reported = {str(name): part for name, part in rows.reported.groupby(home, sort=True)}
    keys = slugs([*measured, *reported])
    return [
        Section(
            name,
            keys[name],
            [
                *([_measured(rows, where, name, f"{keys[name]}-m", measured[name])] if name in measured else []),
                *(_reported(rows, where, keys[name], reported[name]) if name in reported else []),
            ],
        )
        for name in dict.fromkeys([*measured, *reported])
    ]


def score_link(where: Places, method: str, dataset: str, measure: str, kind: str) -> str:
    """Return the address of a method's values of a measure, clip by clip."""
    page = address("rows", where.methods[method], f"{where.datasets[dataset]}.html")
    return f"{page}#{address(measure)}-{KINDS[kind].key}"


def reported_link(record: Mapping[Hashable, Any], where: Places) -> str:
    """Return the address of a reported row."""
    page = address("rows", "reported", f"{where.reported[str(record['dataset'])]}.html")
    return f"{page}#{reported_anchor(record)}"


def reported_anchor(record: Mapping[Hashable, Any]) -> str:
    """Return the place of a reported row on its page, as it stands in an address."""
    return address(f"{PurePosixPath(record['file']).stem}-{record['line']}")


def number(value: float, digits: int) -> str:
    """Return a number as text with a true minus sign; infinities as ∞, no number as a dash."""
    if math.isnan(value):
        return "\u2013"
    text = f"{value:.{digits}f}" if math.isfinite(value) else ("∞" if value > 0 else "-∞")
    return text.replace("-", "\u2212")


def _measured(rows: Rows, where: Places, dataset: str, key: str, summary: pd.DataFrame) -> Table:
    names = [str(name) for name in summary["measure"].unique()]
    columns = []
    for name in names:
        measure = measures.find(name)
        columns.append(Column(name, name, measure.better, measure.unit))
    found: dict[tuple[str, str], dict[str, Cell]] = {}
    for record in summary.to_dict("records"):
        link = score_link(where, record["method"], dataset, record["measure"], record["kind"])
        found.setdefault((record["method"], record["kind"]), {})[record["measure"]] = _cell(record, link)
    order = sorted(found, key=lambda place: (list(KINDS).index(place[1]), place[0]))
    lines = [
        _line(rows, method, KINDS[kind], [found[method, kind].get(name) for name in names], _venue(rows, method))
        for method, kind in order
    ]
    note = "Mean over clips, its 95 % interval, clips with a value of those expected, and the range of its rank within its kind."
    return Table(key, f"Measured on {dataset}", note, False, columns, lines)


def _cell(record: Mapping[Hashable, Any], link: str) -> Cell:
    count = f"{record['n_ok']}/{record['n_expected']}"
    digits = int(record["digits"])
    if not record["complete"]:
        return Cell(count, "", ("clips have a value: no mean",), "", "", link)
    below = [f"{count} clips"]
    if math.isfinite(record["low"]) and math.isfinite(record["high"]):
        below.insert(0, f"[{number(record['low'], digits)}, {number(record['high'], digits)}]")
    if record["align"] != "none":
        below.append(f"aligned: {record['align']}")
    if record["apart"]:
        below.append(f"not ranked: {record['apart']}")
    place = mark = ""
    if pd.notna(record["rank"]):
        place = PLACES.get(int(record["rank"]), "")
        mark = f"{place} of others" if place and record["kind"] == OTHERS.name else place
        below.append(_rank(record["rank"], record["rank_low"], record["rank_high"]))
    return Cell(number(record["mean"], digits), repr(float(record["mean"])), tuple(below), place, mark, link)


def _rank(rank: int, low: Any, high: Any) -> str:
    if pd.isna(low) or pd.isna(high):
        return f"rank {rank}"
    return f"rank {low}" if low == high else f"rank {low}\u2013{high}"


def _line(rows: Rows, method: str, kind: Kind, cells: list[Cell | None], venue: str) -> Line:
    card = rows.cards.get(method)
    title = card.title if card else method
    return Line(method, title, f"{method} {title} {venue}".lower(), kind, cells)


def _venue(rows: Rows, method: str) -> str:
    card = rows.cards.get(method)
    return card.venue if card else ""


def _reported(rows: Rows, where: Places, key: str, part: pd.DataFrame) -> Iterator[Table]:
    """Yield a table per printed name of the data set and protocol: only numbers of one way of measuring share a column."""
    for count, ((dataset, protocol), group) in enumerate(part.groupby(["dataset", "protocol"], sort=True)):
        metrics = list(dict.fromkeys(group["metric"]))
        columns = [_reported_column(group[group["metric"] == metric].iloc[0]) for metric in metrics]
        cells: dict[str, dict[str, Cell]] = {}
        for record in group.to_dict("records"):
            link = reported_link(record, where)
            mine = cells.setdefault(record["method"], {})
            text = f"{record['value']:g}".replace("-", "\u2212")
            old = mine.get(record["metric"])
            mine[record["metric"]] = Cell(f"{old.text}; {text}", old.value, (), "", "", old.link) if old else Cell(
                text, repr(float(record["value"])), (), "", "", link
            )
        venues = dict(zip(group["method"], group["venue"], strict=True))
        lines = [
            _line(rows, method, REPORTED, [mine.get(metric) for metric in metrics], venues[method])
            for method, mine in cells.items()
        ]
        note = f"Input: {group['card_note'].iloc[0]}. Sources: {'; '.join(dict.fromkeys(group['source']))}"
        yield Table(f"{key}-r{count}", f"Reported for {dataset} under {protocol}'s protocol", note, True, columns, lines)


def _reported_column(record: "pd.Series[Any]") -> Column:
    measure = record["measure"] if isinstance(record["measure"], str) else ""
    words = {"same": f"is {measure}", "inferred": f"perhaps {measure}", "irreproducible": "cannot be reproduced"}
    scale = f", times {record['factor']:g}" if measure and record["factor"] != 1 else ""
    remark = f"{words.get(record['status'], 'definition unknown')}{scale}: {record['note']}"
    return Column(record["metric"], measure, "higher" if record["higher_is_better"] else "lower", remark)
