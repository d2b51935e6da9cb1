import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from oasis import files
from oasis.report import page, plots
from oasis.report.page import UNTRAINED_WEIGHTS, write_page

ROOT = Path(__file__).parents[2]


def test_report_does_not_import_torch() -> None:
    code = "import sys, oasis.report, oasis.report.page; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_the_page_is_whole_needs_no_network_and_repeats_to_the_byte(make_run) -> None:
    folder = make_run()
    written = write_page(folder)
    text = (folder / "index.html").read_text(encoding="utf-8")
    targets = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert targets
    assert all((folder / target).is_file() for target in targets)
    assert {path.name for path in written} == {target for target in targets if target.endswith(("png", "svg"))} | {"index.html"}
    assert "://" not in text and "<script" not in text
    assert all(alt for alt in re.findall(r'<img [^>]*alt="([^"]*)"', text))
    assert text.count("<img ") == 6
    assert text.count("<tr><td>") == 6  # a row for each head
    assert "0.69" in text and "tiny-synthetic" in text and "threshold:tau=0.5" in text
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written if path.suffix == ".png")
    first = {path: files.sha256(path) for path in written}
    assert {path: files.sha256(path) for path in write_page(folder)} == first
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the pictures out, where a test reads the text only."""
    monkeypatch.setattr(page, "draw", lambda run: ())


@pytest.mark.usefixtures("undrawn")
def test_special_heads_are_counted(make_run) -> None:
    folder = make_run()
    rows = pd.read_csv(folder / "heads.csv")
    rows["kl_rel"] = 0.9
    rows.loc[(rows["layer"] == 0) & (rows["head"] == 1) & (rows["pattern"] == "frame"), "kl_rel"] = 0.2
    rows.loc[(rows["layer"] == 1) & (rows["head"] == 1), "kl_rel"] = 0.3  # both patterns: still one head
    rows.to_csv(folder / "heads.csv", index=False)
    write_page(folder)
    assert "(2 of 6)" in (folder / "index.html").read_text(encoding="utf-8")


@pytest.mark.usefixtures("undrawn")
def test_random_weights_are_said_first(make_run) -> None:
    folder = make_run(trained=False)
    write_page(folder)
    body = (folder / "index.html").read_text(encoding="utf-8").split("<body>")[1]
    assert re.sub(r"<[^>]*>", "", body).lstrip().startswith(UNTRAINED_WEIGHTS)


@pytest.mark.usefixtures("undrawn")
def test_trained_weights_have_no_banner(make_run) -> None:
    folder = make_run(trained=True)
    write_page(folder)
    assert "RANDOM" not in (folder / "index.html").read_text(encoding="utf-8")


def test_names_from_files_are_escaped(make_run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, "render", lambda figure, kind: b"")
    folder = make_run(clips=("<script>alert(1)</script>", "$x_{", '"><b>'), heads=1, layers=1)
    write_page(folder)
    text = (folder / "index.html").read_text(encoding="utf-8")
    assert "<script" not in text and "<b>&" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "&#34;&gt;&lt;b&gt;" in text


def test_nothing_is_written_where_a_file_is_missing(make_run) -> None:
    folder = make_run()
    (folder / "profiles.csv").unlink()
    before = sorted(folder.iterdir())
    with pytest.raises(ValueError, match=r"profiles\.csv is missing"):
        write_page(folder)
    assert sorted(folder.iterdir()) == before


def test_the_door_says_what_is_wrong_in_one_sentence(tmp_path: Path) -> None:
    door = [sys.executable, "analysis/plot_heads.py", str(tmp_path / "none")]
    done = subprocess.run(door, cwd=ROOT, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT), "PATH": ""})
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"error: .*heads.csv is missing.*\n", done.stderr)
