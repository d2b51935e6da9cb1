"""One command on a small network: all chapters, one page, nothing made twice, nothing mixed."""

import dataclasses
import functools
import json
import re

import pytest
from little import checkpoint

from oasis.cli import main
from oasis.data import builtin
from oasis.data.cutting import Cut
from oasis.report.chapters import NAME, read_chapter
from oasis.study import conditions, run


@pytest.fixture(scope="module")
def studied(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    model = checkpoint(folder / "little", layers=2, heads=2, trained=False)
    request = run.Request(model=str(model), cut=Cut(frames=5, crop=(32, 32), clips=3))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builtin, "make", functools.cache(builtin.make))
        patch.setattr(conditions, "of", lambda model: conditions.CONDITIONS[:1])
        said: list[str] = []
        run.run(request, folder / "work", folder / "report", workers=1, say=said.append)
        before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.csv")}
        run.run(request, folder / "work", folder / "report", workers=1, say=said.append)
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*.csv")}
    assert said[5:] == [f"{name}: is there" for name in run.CHAPTERS]
    return request, folder


def test_every_chapter_is_there_and_on_the_page(studied):
    _, folder = studied
    work = folder / "report"
    page = (work / "index.html").read_text(encoding="utf-8")
    for chapters in run.CHAPTERS.values():
        for name in chapters:
            chapter = read_chapter(work / name)
            assert chapter.findings and not chapter.trained
            assert chapter.title.replace("'", "&#39;") in page
            for picture in chapter.pictures:
                assert f'src="{name}/{picture.name}.png"' in page and (work / name / f"{picture.name}.svg").is_file()
    assert "UNTRAINED WEIGHTS" in page


def test_every_link_of_every_page_leads_somewhere(studied):
    _, folder = studied
    for page in (folder / "report").rglob("index.html"):
        for link in re.findall(r'(?:href|src)="([^"#]+)"', page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), (page, link)


def test_another_study_is_refused_in_its_folder(studied):
    request, folder = studied
    with pytest.raises(ValueError, match=r"study\.json: seed is 0, asked for is 1; name another folder"):
        run.run(dataclasses.replace(request, seed=1), folder / "work", folder / "report", workers=1)
    assert json.loads((folder / "report" / "study.json").read_text(encoding="utf-8"))["seed"] == 0


def test_a_chapter_that_is_missing_is_made_again(studied, monkeypatch):
    request, folder = studied
    (folder / "report" / "gallery" / NAME).unlink()
    said: list[str] = []
    run.run(request, folder / "work", folder / "report", workers=1, say=said.append)
    assert (
        said[0].startswith("gallery: ") and said[0] != "gallery: is there" and (folder / "report" / "gallery" / NAME).is_file()
    )


@pytest.mark.parametrize(("model", "message"), [("nope", "model 'nope' is unknown"), ("tiny-routed", "is routed; only")])
def test_a_model_that_does_not_fit_leaves_no_folder(model, message, tmp_path, capsys):
    assert main(["study", str(tmp_path / "work"), "--model", model]) == 2
    assert message in capsys.readouterr().err and not list(tmp_path.iterdir())
