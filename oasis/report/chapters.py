"""Chapters of a report: what was asked, what was found and how sure it is, with figures and tables; and a book of them."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import quote

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure

from oasis import files
from oasis.report import plots

FORMAT = 1
NAME = "chapter.json"
ROWS = 60
"""Rows of a table that a page shows; the file that it links has all."""
Verdict = Literal["shown", "not shown", "against", "limit"]
"""How a finding stands: its interval supports it, is too wide to tell, contradicts it; or it says what was not measured."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One sentence with its effect size and interval, made from the tables of the chapter, and how it stands."""

    text: str
    verdict: Verdict

    def __post_init__(self) -> None:
        if self.verdict not in get_args(Verdict):
            raise ValueError(f"verdict is {self.verdict!r}; allowed: {', '.join(get_args(Verdict))}")


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A figure beside the page as `name`.png and `name`.svg: `alt` says what can be seen, `caption` what it means."""

    name: str
    alt: str
    caption: str


@dataclass(frozen=True, kw_only=True)
class Table:
    """A CSV file beside the page, by name, and what its rows are."""

    file: str
    caption: str


@dataclass(frozen=True, kw_only=True)
class Chapter:
    """One question and its answer.

    `terms`: what the numbers mean, word by word. `links`: other pages, as path from the chapter's folder and text. `record`:
    how it came about. `trained`: whether the weights are.
    """

    title: str
    question: str
    findings: Sequence[Finding]
    terms: Mapping[str, str] = field(default_factory=dict)
    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)
    trained: bool = True


def write_chapter(folder: Path, chapter: Chapter, figures: Mapping[str, Figure]) -> None:
    """Write the figures as PNG and SVG, chapter.json and then index.html into a folder that holds the chapter's tables.

    `figures`: one per picture, by name. Equal tables and texts give equal bytes.
    """
    if set(figures) != {picture.name for picture in chapter.pictures}:
        raise ValueError(f"{folder}: the chapter shows {[p.name for p in chapter.pictures]}, drawn were {list(figures)}")
    for name, figure in figures.items():
        plots.settle(figure)
        for kind in ("png", "svg"):
            with files.replacing(folder / f"{name}.{kind}") as temporary:
                temporary.write_bytes(plots.render(figure, kind))
    text = json.dumps({"format": FORMAT, **asdict(chapter)}, indent=1, ensure_ascii=False, allow_nan=False)
    files.write_text(folder / NAME, text + "\n")
    files.write_text(folder / "index.html", _html(chapter.title, [(folder, chapter)], folder))


def read_chapter(folder: Path) -> Chapter:
    """Read what `write_chapter` wrote; ValueError names the file and what does not fit."""
    path = folder / NAME
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data.pop("format") != FORMAT:
            raise ValueError(f"its format is not {FORMAT}")
        parts = {"findings": Finding, "pictures": Picture, "tables": Table}
        read: dict[str, Any] = {
            name: [parts[name](**part) for part in value] if name in parts else value for name, value in data.items()
        }
        return Chapter(**read)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        wanted = ", ".join(part.name for part in fields(Chapter))
        raise ValueError(f"{path}: not a chapter ({error}); it holds format, {wanted}") from error


def write_book(folder: Path, title: str, chapters: Sequence[Path]) -> Path:
    """Write `folder`/index.html with all chapters on one page, in their order, linking the folders they lie in."""
    page = folder / "index.html"
    files.write_text(page, _html(title, [(path, read_chapter(path)) for path in chapters], folder))
    return page


def _html(title: str, chapters: Sequence[tuple[Path, Chapter]], folder: Path) -> str:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shown = [
        {
            "chapter": chapter,
            "anchor": f"chapter-{number}",
            "tables": [(table, *_rows(path / table.file)) for table in chapter.tables],
            "at": lambda name, path=path: quote(Path(os.path.relpath(path / name, folder)).as_posix()),
            "record": [
                (name, json.dumps(value) if isinstance(value, dict | list) else value) for name, value in chapter.record.items()
            ],
        }
        for number, (path, chapter) in enumerate(chapters, 1)
    ]
    trained = all(chapter.trained for _, chapter in chapters)
    return environment.get_template("chapters.html.j2").render(title=title, shown=shown, trained=trained)


def _rows(path: Path) -> tuple[list[str], list[list[str]], int]:
    """Return the columns of a table, its first rows as short texts, and the number of all rows."""
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, skiprows=int(_has_fingerprint(path)))
    except (ValueError, OSError) as error:
        raise ValueError(f"{path}: not a CSV table ({error})") from error
    return list(frame.columns), [[_short(cell) for cell in row] for row in frame.head(ROWS).to_numpy().tolist()], len(frame)


def _has_fingerprint(path: Path) -> bool:
    with open(path, encoding="utf-8") as file:
        return file.read(1) == "#"


def _short(cell: str) -> str:
    """Return a number with four significant digits, anything else as it is."""
    if "." not in cell and "e-" not in cell:
        return cell
    try:
        return f"{float(cell):.4g}"
    except ValueError:
        return cell
