import shutil
from pathlib import Path

import board_rows
import pytest

from oasis.cli import main


def run(root: Path, *more: str) -> int:
    places = ["--results", f"{root}/results", "--methods", f"{root}/methods", "--out", f"{root}/out"]
    return main(["report", *places, *more])


@pytest.fixture
def board(tmp_path: Path) -> Path:
    """Return a folder with two methods."""
    steady = [30.0 + clip for clip in range(8)]
    return board_rows.board(tmp_path, {"one": steady, "two": [value + 1 + value / 10 for value in steady]})


def pair(folder: Path, method: str, **more: object) -> tuple[str, str]:
    """Write a card and a score file outside of the reports, as someone has them before contributing."""
    card = board_rows.card(folder, method)
    return str(card), str(board_rows.scores(folder, "s.csv", board_rows.of_values(method, [31.0] * 8, **more)))


def test_report_writes_its_files_and_is_then_not_stale(board: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(board) == 0
    printed = capsys.readouterr().out.split()
    assert [Path(line).name for line in printed if "leaderboard" in line or "comparisons" in line] == [
        "leaderboard.md",
        "leaderboard.csv",
        "leaderboard.tex",
        "comparisons.csv",
    ]
    assert run(board, "--stale") == 0
    assert capsys.readouterr().out == ""


def test_a_changed_and_a_missing_file_are_stale(board: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(board)
    (board / "out" / "leaderboard.md").write_text("edited", encoding="utf-8")
    (board / "out" / "leaderboard.tex").unlink()
    capsys.readouterr()
    assert run(board, "--stale") == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("/")[-1].split(";")[0] for line in lines] == ["leaderboard.md: differs", "leaderboard.tex: is missing"]
    assert (board / "out" / "leaderboard.md").read_text(encoding="utf-8") == "edited"


def test_a_bad_row_writes_nothing(board: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = board / "results" / "measured" / "one.csv"
    path.write_text(path.read_text(encoding="utf-8").replace(",30.0,", ",nan,"), encoding="utf-8")
    assert run(board) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (board / "out").exists()


def test_check_of_a_good_pair_says_what_it_holds(board: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(board, "--check", *pair(tmp_path / "mine", "three")) == 0
    out = capsys.readouterr().out
    assert "three on own-set, measured by others: 1 of 1 measures have all 8 clips" in out
    assert "one on" not in out


def test_check_of_a_pair_that_is_in_its_place(board: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card = board_rows.card(board, "three")
    scores = board_rows.scores(board, "three.csv", board_rows.of_values("three", [31.0] * 7), kind="others")
    assert run(board, "--check", str(card), str(scores)) == 0
    assert "note: psnr@y has 7 of 8 clips: shown without mean and rank" in capsys.readouterr().out


def test_check_tells_another_reference(board: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(board, "--check", *pair(tmp_path / "mine", "three", reference_sha256="c" * 64)) == 0
    assert "8 rows are scored against another reference than the others" in capsys.readouterr().out


@pytest.mark.parametrize("wrong", ["card", "method", "taken", "row", "second", "none", "missing"])
def test_check_refuses_in_a_sentence(board: Path, tmp_path: Path, wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    card, scores = pair(tmp_path / "mine", "three")
    said = {
        "card": "allowed, and all needed: name, title",
        "method": "its method is 'three'; allowed: 'four', the name of",
        "taken": "field 'name' is 'one', which another card in",
        "row": "line 4: value is 'nan'; allowed: a number",
        "second": "has a second psnr@y of 'three'",
        "none": "no score file was given; allowed: --check CARD.yaml SCORES.csv",
        "missing": "No such file or directory",
    }[wrong]
    files = [card, scores]
    if wrong == "card":
        Path(card).write_text("name: three\n", encoding="utf-8")
    elif wrong == "method":
        files[0] = str(board_rows.card(tmp_path / "mine", "four"))
    elif wrong == "taken":
        files[0] = str(board_rows.card(tmp_path / "mine", "one", title="Another"))
    elif wrong == "row":
        text = Path(scores).read_text(encoding="utf-8").replace("001,psnr@y,1,ok,31.0", "001,psnr@y,1,ok,nan")
        Path(scores).write_text(text, encoding="utf-8")
    elif wrong == "second":
        files.append(shutil.copyfile(scores, tmp_path / "mine" / "again.csv"))
    elif wrong == "none":
        files.pop()
    else:
        files[1] = str(tmp_path / "nowhere.csv")
    assert run(board, "--check", *map(str, files)) == 2
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1


def test_check_of_all_rows(board: Path, capsys: pytest.CaptureFixture[str]) -> None:
    board_rows.card(board, "unused")
    assert run(board, "--check") == 0
    out = capsys.readouterr().out
    assert "one on own-set, measured here: 1 of 1 measures have all 8 clips" in out
    assert "note: cards without scores: unused" in out


def test_compare_prints_both_ways_alike(board: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(board, "--compare", "two", "one") == 0
    one = capsys.readouterr().out
    assert run(board, "--compare", "one", "two") == 0
    assert capsys.readouterr().out == one
    name, measure, difference, low, _, high, *rest = one.splitlines()[1].split()
    assert (name, measure, difference, rest) == ("own-set", "psnr@y", "-4.3500", ["8", "0.00781", "two"])
    assert -4.6 < float(low) < -4.35 < float(high) < -4.1


@pytest.mark.parametrize(("names", "said"), [(("one", "no"), "allowed: one, two"), (("one", "one"), "allowed: two methods")])
def test_compare_refuses_in_a_sentence(
    board: Path, names: tuple[str, str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(board, "--compare", *names) == 2
    assert said in capsys.readouterr().err


def test_no_path_and_no_date_gets_into_what_is_committed(board: Path) -> None:
    run(board)
    for path in (board / "out").iterdir():
        text = path.read_text(encoding="utf-8")
        assert str(board) not in text and "/tmp" not in text
