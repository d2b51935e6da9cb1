import dataclasses
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from hostile import METHODS

from oasis import files
from oasis.report.board import statistics
from oasis.report.site import figures, tables
from oasis.report.site.page import write_site

ROOT = Path(__file__).parents[3]


def test_the_page_does_not_import_torch() -> None:
    code = "import sys, oasis.report.site.page; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_equal_rows_give_equal_bytes_in_any_folder(site: Path, rows, tmp_path: Path) -> None:
    written = write_site(rows, tmp_path, site / "frames")
    assert len(written) > 50
    differing = [path for path in written if path.read_bytes() != (site / path.relative_to(tmp_path)).read_bytes()]
    assert differing == []
    assert not list(tmp_path.rglob(".*"))


def test_every_link_leads_to_a_file_and_a_place_in_it(site: Path) -> None:
    pages = {path: path.read_text(encoding="utf-8") for path in site.rglob("*.html")}
    places = {path: {unescape(text) for text in re.findall(r' id="([^"]*)"', html)} for path, html in pages.items()}
    checked = 0
    for path, html in pages.items():
        for text in re.findall(r'(?:src|href)="([^"]*)"', html):
            link, _, place = unescape(text).partition("#")
            if link.startswith("https://example.org/") or link == "comparisons.csv":
                continue
            target = (path.parent / unquote(link)).resolve() if link else path
            assert target.is_file() and target.is_relative_to(site.resolve()), f"{path.name}: {text}"
            assert not place or unquote(place) in places[target], f"{path.name}: {text}"
            checked += 1
    assert checked > 500


def test_names_from_files_are_escaped_everywhere(site: Path) -> None:
    for path in site.rglob("*.html"):
        html = path.read_text(encoding="utf-8")
        assert "<img src=x" not in html and "<script>window" not in html and "<set>" not in html and "<b>fast" not in html
    for path in (site / "site" / "pairs").iterdir():
        assert "<" not in path.read_text(encoding="utf-8")


def test_every_number_of_the_rows_is_on_its_page(site: Path, rows) -> None:
    where = tables.places(rows)
    html = (site / "rows" / where.methods["bicubic"] / f"{where.datasets['udm10']}.html").read_text(encoding="utf-8")
    mine = rows.scores[(rows.scores["method"] == "bicubic") & (rows.scores["dataset"] == "udm10")]
    shown = [float(text) for text in re.findall(r'data-v="([^"]+)"', html)]
    assert sorted(shown) == sorted(mine["value"]) and len(shown) == 30


def test_incomplete_methods_have_a_count_and_no_mean(rows) -> None:
    summary = statistics.summary(rows.scores)
    section = next(one for one in tables.sections(rows, summary) if one.name == "toy's <set>")
    line = next(line for line in section.tables[0].lines if line.method == "STAR")
    cell = line.cells[[column.measure for column in section.tables[0].columns].index("ssim@rgb")]
    assert (cell.text, cell.value, cell.place) == ("5/6", "", "")


def test_reported_numbers_share_no_table_with_measured_ones_or_with_another_protocol(rows) -> None:
    summary = statistics.summary(rows.scores)
    section = next(one for one in tables.sections(rows, summary) if one.name == "udm10")
    kinds = [{line.kind.name for line in table.lines} for table in section.tables]
    assert kinds[0] == {"measured here", "measured by others"} and all(found == {"reported"} for found in kinds[1:])
    titles = [table.title for table in section.tables]
    assert len(titles) == len(set(titles)) and "Reported for UDM10 under DOVE's protocol" in titles
    printed = sum(cell is not None for one in tables.sections(rows, summary) for table in one.tables if table.reported
                  for line in table.lines for cell in line.cells)  # fmt: skip
    assert printed == len(rows.reported)


def test_figures_come_with_their_data_and_say_what_is_left_out(site: Path, rows) -> None:
    stems = {path.stem for path in (site / "figures").iterdir()}
    assert {stem.split("-")[0] for stem in stems} == {"clips", "speed", "reported", "routings"}
    assert all((site / "figures" / f"{stem}.{kind}").stat().st_size for stem in stems for kind in ("svg", "png", "csv"))
    front = pd.read_csv(site / "figures" / "routings-1.csv")
    assert front.set_index("rule")["front"].to_dict() == {"dense": True, "threshold:tau=0.5": True, "random:seed=0": False}
    bare = dataclasses.replace(
        rows, timings=rows.timings.head(0), routings=rows.routings.head(0), efficiency=rows.efficiency.head(0)
    )
    summary = statistics.summary(bare.scores)
    drawn = list(figures.pictures(bare, summary))
    assert {picture.name.split("-")[0] for picture in drawn} == {"clips"}
    assert [text.split(":")[0] for text in figures.left_out(bare, summary, [picture.name for picture in drawn])] == [
        "Quality against time, measured here", "Quality against time, reported", "Front of routings",
    ]  # fmt: skip


def test_a_failure_leaves_the_old_page_whole(site: Path, rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "index.html").write_text("old", encoding="utf-8")
    monkeypatch.setattr(figures, "left_out", lambda *args: 1 / 0)
    monkeypatch.setattr(figures, "pictures", lambda *args: ())
    with pytest.raises(ZeroDivisionError):
        write_site(rows, tmp_path, site / "frames")
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]


def test_a_page_of_reported_numbers_alone_or_of_infinite_values_is_written(rows, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(figures, "pictures", lambda *args: ())
    write_site(dataclasses.replace(rows, scores=rows.scores.head(0)), tmp_path / "a", tmp_path / "none")
    assert "Left out: there are no frames" in (tmp_path / "a" / "index.html").read_text(encoding="utf-8")
    scores = rows.scores.assign(value=np.where(rows.scores["measure"] == "psnr@rgb", np.inf, rows.scores["value"]))
    write_site(dataclasses.replace(rows, scores=scores), tmp_path / "b", tmp_path / "none")
    assert "∞" in (tmp_path / "b" / "index.html").read_text(encoding="utf-8")


def test_infinite_values_are_drawn_nowhere_and_break_no_figure(rows) -> None:
    scores = rows.scores.assign(value=np.where(rows.scores["measure"] == "psnr@rgb", np.inf, rows.scores["value"]))
    changed = dataclasses.replace(rows, scores=scores)
    for picture in figures.pictures(changed, statistics.summary(scores)):
        if "psnr" in picture.name or picture.name.startswith("speed"):
            assert picture.draw() is not None


def test_a_hash_stands_beside_each_file(site: Path) -> None:
    html = (site / "index.html").read_text(encoding="utf-8")
    for path in (site / "results").rglob("*.csv"):
        assert files.sha256(path)[:16] in html


def test_cards_are_named(site: Path) -> None:
    html = (site / "index.html").read_text(encoding="utf-8")
    assert all(method in unescape(html) for method in METHODS)
