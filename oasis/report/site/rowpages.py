"""The pages behind the numbers: one per method and data set with every clip's value, one per data set of reported rows."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pandas as pd
from jinja2 import Environment

from oasis import measures
from oasis.report.board.rows import Rows
from oasis.report.site.kinds import KINDS, REPORTED, Kind
from oasis.report.site.names import address
from oasis.report.site.tables import Places, number, reported_anchor

NEEDED = ["kind", "file", "line", "clip", "measure", "status", "value", "frames", "align", "reason", "output_sha256"]
DIGITS_OF_HASH = 12


class Clip(NamedTuple):
    """One clip's row: a text per measure with the number behind it ("" where there is none), and what is common to them."""

    name: str
    cells: list[tuple[str, str]]
    frames: str
    align: str
    output: str
    lines: str


class Sheet(NamedTuple):
    """All clips of one file."""

    kind: Kind
    file: str
    measures: list[measures.Measure]
    clips: list[Clip]


def row_pages(rows: Rows, where: Places, environment: Environment) -> Iterator[tuple[str, str]]:
    """Yield the path, relative to the page, and the text of every page of rows."""
    template = environment.get_template("rows.html.j2")
    for (method, dataset), part in rows.scores.groupby(["method", "dataset"], observed=True, sort=True):
        card = rows.cards.get(str(method))
        text = template.render(
            method=str(method), title=card.title if card else str(method), card=card, dataset=str(dataset), sheets=_sheets(part)
        )
        yield f"rows/{where.methods[str(method)]}/{where.datasets[str(dataset)]}.html", text
    template = environment.get_template("reported.html.j2")
    for dataset, part in rows.reported.groupby("dataset", sort=True):
        lines = [{**row, "anchor": reported_anchor(row), "source_file": address("..", "..", *row["file"].split("/"))}
                 for row in part.to_dict("records")]
        yield f"rows/reported/{where.reported[str(dataset)]}.html", template.render(
            dataset=str(dataset), kind=REPORTED, lines=lines
        )


def _sheets(part: pd.DataFrame) -> list[Sheet]:
    """Return a sheet per file, clips and measures in the file's order."""
    grouped: dict[tuple[str, str], dict[str, list[tuple[Any, ...]]]] = {}
    for kind, file, *rest in zip(*(part[name].tolist() for name in NEEDED), strict=True):
        grouped.setdefault((kind, file), {}).setdefault(rest[1], []).append(tuple(rest))
    sheets = []
    for (kind, file), clips in grouped.items():
        names = list(dict.fromkeys(row[2] for found in clips.values() for row in found))
        used = [measures.find(name) for name in names]
        sheets.append(Sheet(KINDS[kind], file, used, [_clip(clip, found, used) for clip, found in clips.items()]))
    return sheets


def _clip(name: str, found: list[tuple[Any, ...]], used: list[measures.Measure]) -> Clip:
    by_measure = {row[2]: row for row in found}
    cells = []
    for measure in used:
        row = by_measure.get(measure.name)
        if row is None:
            cells.append(("no row", ""))
        elif row[3] == "ok":
            cells.append((number(row[4], measure.digits), repr(row[4])))
        else:
            cells.append((f"{row[3]}: {row[7]}", ""))
    first, last = min(row[0] for row in found), max(row[0] for row in found)
    return Clip(
        name,
        cells,
        _joined(row[5] for row in found if row[3] == "ok"),
        _joined(row[6] for row in found),
        _joined(row[8][:DIGITS_OF_HASH] for row in found),
        f"{first}\u2013{last}" if last > first else str(first),
    )


def _joined(values: Iterator[Any]) -> str:
    return ", ".join(dict.fromkeys(str(value) for value in values))
