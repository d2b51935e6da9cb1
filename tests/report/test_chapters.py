"""Chapters and the book: pages that say all, escape all, and come back as they were written."""

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from oasis.report import chapters
from oasis.report.chapters import Chapter, Finding, Picture, Table


def _chapter(**changed: object) -> Chapter:
    values: dict[str, object] = {
        "title": "Is <it> so?",
        "question": "Whether & why.",
        "findings": [Finding(text="rho 0.5 (0.2 to 0.7) <b>", verdict="shown"), Finding(text="none", verdict="not shown")],
        "terms": {"rho": "Spearman's"},
        "pictures": [Picture(name="map", alt="a map", caption="a caption")],
        "tables": [Table(file="rows 1.csv", caption="all rows")],
        "links": {"../other/index.html": "the heads"},
        "record": {"clips": ["<script>alert(1)</script>"], "seed": 0},
    }
    return Chapter(**{**values, **changed})  # type: ignore[arg-type]


def _write(folder: Path, **changed: object) -> Chapter:
    folder.mkdir()
    (folder / "rows 1.csv").write_text("clip,value\n<i>,0.123456\nNA,3\n", encoding="utf-8")
    chapter = _chapter(**changed)
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([0, 1])
    chapters.write_chapter(folder, chapter, {"map": figure})
    return chapter


def test_a_chapter_comes_back_as_it_was_written(tmp_path: Path) -> None:
    chapter = _write(tmp_path / "one")
    assert chapters.read_chapter(tmp_path / "one") == chapter
    assert {path.name for path in (tmp_path / "one").iterdir()} == {
        *("rows 1.csv", "map.png", "map.svg", "chapter.json", "index.html")
    }


def test_texts_and_cells_of_files_are_escaped(tmp_path: Path) -> None:
    _write(tmp_path / "one")
    page = (tmp_path / "one" / "index.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page and "<i>" not in page and "<it>" not in page
    assert "0.1235" in page and ">NA<" in page and 'href="rows%201.csv"' in page


def test_a_book_links_into_the_folders_of_its_chapters(tmp_path: Path) -> None:
    first, second = tmp_path / "a #1", tmp_path / "two"
    _write(first)
    _write(second, title="Second", trained=False)
    page = chapters.write_book(tmp_path, "All", [first, second]).read_text(encoding="utf-8")
    assert page.index("Is &lt;it&gt; so?") < page.index("Second")
    assert 'src="a%20%231/map.png"' in page and 'href="other/index.html"' in page
    assert "UNTRAINED WEIGHTS" in page


def test_equal_chapters_give_equal_bytes(tmp_path: Path) -> None:
    _write(tmp_path / "one")
    _write(tmp_path / "two")
    for name in ("map.png", "map.svg", "chapter.json", "index.html"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    _write(tmp_path / "one")
    (tmp_path / "one" / "chapter.json").write_text('{"format": 1, "titel": "x"}', encoding="utf-8")
    with pytest.raises(ValueError, match=r"chapter\.json: not a chapter .*titel"):
        chapters.read_chapter(tmp_path / "one")
    with pytest.raises(ValueError, match="drawn were"):
        chapters.write_chapter(tmp_path / "one", _chapter(), {})
    with pytest.raises(ValueError, match="allowed: shown"):
        Finding(text="x", verdict="maybe")  # type: ignore[arg-type]
