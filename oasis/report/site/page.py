"""The leaderboard page: index.html, a page of rows behind every number, figures with their data, all in one folder."""

import math
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from oasis import files, measures
from oasis.report import plots
from oasis.report.board import beside, statistics
from oasis.report.board.rows import Rows
from oasis.report.site import figures, tables
from oasis.report.site.kinds import KINDS
from oasis.report.site.names import address
from oasis.report.site.pairs import pair_scripts
from oasis.report.site.rowpages import row_pages
from oasis.report.site.viewer import find_clips

FOLDER = Path(__file__).parent / "templates"
ASSETS = ("style.css", "board.js", "compare.js", "viewer.js")


class Shown(NamedTuple):
    """A figure that was drawn: what the page says about it."""

    name: str
    alt: str
    caption: str
    dataset: str


def write_site(rows: Rows, out: Path, frames: Path) -> list[Path]:
    """Write index.html, rows/, figures/ and site/ into the folder `out`, whole or not at all; return the paths of all files.

    Files that the rows name are linked and hashed where they lie in `out`. Pictures in `frames` (DATASET/CLIP/METHOD.png and
    METHOD-xt.png) are copied to `out`/frames unless they lie there. Equal input gives equal bytes.
    """
    out, frames = Path(out), Path(frames)
    summary = _ordered(statistics.summary(rows.scores))
    sections = tables.sections(rows, summary)
    where = tables.places(rows)
    environment = _environment()
    clips = find_clips(frames)
    sides = beside.against_reported(rows, summary)
    with files.replacing_folder(out) as temporary:
        for name in ASSETS:
            _write(temporary / "site" / name, (FOLDER / name).read_text(encoding="utf-8"))
        keys = {section.name: section.key for section in sections}
        for name, text in pair_scripts(statistics.comparisons(rows.scores), summary, keys):
            _write(temporary / name, text)
        for name, text in row_pages(rows, where, environment):
            _write(temporary / name, text)
        drawn = [_draw(picture, temporary / "figures") for picture in figures.pictures(rows, summary)]
        if clips and frames.resolve() != (out / "frames").resolve():
            shutil.copytree(frames, temporary / "frames")
        paired = {path.stem for path in (temporary / "site" / "pairs").glob("*.js")}
        text = environment.get_template("index.html.j2").render(
            _facts(rows, summary, out),
            sections=sections,
            paired=paired,
            drawn=drawn,
            left_out=figures.left_out(rows, summary, drawn),
            clips=clips,
            against=_against(rows, sides[sides["kind"] != ""], where),
            alone=int((sides["kind"] == "").sum()),
        )
        _write(temporary / "index.html", text)
        written = sorted(path.relative_to(temporary) for path in temporary.rglob("*") if path.is_file())
    return [out / path for path in written]


def _ordered(summary: pd.DataFrame) -> pd.DataFrame:
    """Sort by data set, and measures as `oasis metrics list` has them: pictures first, time last."""
    order = {name: place for place, name in enumerate(measures.MEASURES)}
    place = [order.get(str(name), len(order)) for name in summary["measure"]]
    texts = {name: summary[name].astype(str) for name in ("dataset", "measure", "method", "kind")}
    ordered = summary.assign(**texts, place=place).sort_values(["dataset", "place", "measure"], kind="stable", ignore_index=True)
    return ordered.drop(columns="place")


def _facts(rows: Rows, summary: pd.DataFrame, out: Path) -> dict[str, Any]:
    """Return what the page says about all of it: kinds, protocols, methods, and where everything comes from."""
    used = list(dict.fromkeys(summary["measure"]))
    counts = {**rows.scores["kind"].astype(str).value_counts().to_dict(), "reported": len(rows.reported)}
    tables_of_rows = (rows.scores, rows.reported, rows.efficiency, rows.timings, rows.costs, rows.routings)
    sources = sorted({str(file) for table in tables_of_rows if "file" in table for file in table["file"].unique()})
    return {
        "kinds": KINDS,
        "counts": counts,
        "arrows": tables.ARROWS,
        "protocols": [measures.find(name) for name in used],
        "irreproducible": measures.IRREPRODUCIBLE,
        "cards": [(f"method-{key}", rows.cards[name]) for name, key in tables.places(rows).methods.items() if name in rows.cards],
        "problems": rows.problems,
        "sources": [_source(file, rows.fingerprints.get(file, {}), out) for file in sources],
    }


def _source(file: str, fingerprint: dict[str, Any], out: Path) -> dict[str, Any]:
    here = (out / file).is_file()
    return {
        "file": file,
        "link": address(*file.split("/")) if here else "",
        "sha256": files.sha256(out / file) if here else "",
        "fingerprint": list(_flat(fingerprint)),
    }


def _against(rows: Rows, sides: pd.DataFrame, where: tables.Places) -> list[dict[str, Any]]:
    """Return the rows that set a reported number beside one of ours, with links to the rows of both."""
    keys = ("reported_dataset", "metric", "protocol", "source")
    links = {
        (row["method"].casefold(), row["dataset"], *(row[key] for key in keys[1:])): tables.reported_link(row, where)
        for row in rows.reported.to_dict("records")
    }
    found = []
    for row in sides.to_dict("records"):
        names = (rows.cards[row["method"]].title, row["method"])
        link = next(links[place] for name in names if (place := (name.casefold(), *(row[key] for key in keys))) in links)
        ours = tables.score_link(where, row["method"], row["dataset"], row["measure"], row["kind"])
        found.append({**row, "link": link, "ours": ours, "title": names[0], "shown": KINDS[row["kind"]], **_mean(row)})
    return found


def _mean(row: dict[str, Any]) -> dict[str, str]:
    """Return our mean in the unit of the printed number, as text and for sorting."""
    value = row["factor"] * row["mean"]
    return {"text": tables.number(value, 4), "v": "" if math.isnan(value) else repr(value)}


def _draw(picture: figures.Picture, folder: Path) -> Shown:
    figure = picture.draw()
    _write(folder / f"{picture.name}.csv", picture.data.to_csv(index=False, lineterminator="\n"))
    for kind in ("png", "svg"):
        (folder / f"{picture.name}.{kind}").write_bytes(plots.render(figure, kind))
    return Shown(picture.name, picture.alt, picture.caption, picture.dataset)


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,  # every name comes from a file: escape, whatever the template's suffix
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["address"] = address
    return environment


def _flat(record: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the leaves of a fingerprint as lines of text, nested names joined by spaces."""
    for name, value in sorted(record.items()):
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
