import csv
import io
import math
import re
from pathlib import Path

import board_rows
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oasis.report.board import latex, markdown, rows, statistics
from oasis.report.board.beside import against_reported
from oasis.report.board.write import fixed, write_board

NASTY = "<script>|x"


def written(root: Path) -> dict[str, str]:
    loaded = rows.load(root / "results", root / "methods")
    return {path.name: path.read_text(encoding="utf-8") for path in write_board(loaded, root / "out")}


def cells(page: str, start: str) -> list[str]:
    """Return the cells of the table row that starts with a method."""
    (line,) = [line for line in page.splitlines() if line.startswith(f"| {start} ")]
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[2:-1]]


@pytest.fixture
def board(tmp_path: Path) -> Path:
    """Return a folder with three methods, one of them with a clip missing, and one contributed."""
    values = {"one": [30.0, 31.0, 32.0, 33.0], "two": [31.0, 32.0, 33.0, 34.5], "part": [50.0, None, 50.0, 50.0]}
    root = board_rows.board(tmp_path, values)
    board_rows.card(root, "theirs", title="Their_s & co", link="https://x.org/a (b)|c", venue="Venue2025")
    board_rows.scores(root, "x.csv", board_rows.of_values("theirs", [40.0] * 4, align="crop:left=0,width=8"), kind="others")
    board_rows.reported(root, "Printed,x,UDM10,PSNR,24.10,true,DOVE,paper A", "B,,UDM10,PSNR,25,true,DOVE,paper A")
    return root


def test_a_cell_has_mean_interval_rank_and_clips(board: Path) -> None:
    page = written(board)["leaderboard.md"]
    assert re.fullmatch(r"\*\*32\.6250\*\* \[3\d\.\d{4}, 3\d\.\d{4}\]<br>rank 1 \(1\), 4/4", cells(page, "Two")[0])
    assert cells(page, "One")[0].startswith("*31.5000* [")
    assert cells(page, "Part") == ["3/4, incomplete"]


def test_kinds_have_tables_of_their_own_and_a_single_row_has_no_best(board: Path) -> None:
    page = written(board)["leaderboard.md"]
    here, others = page.index("### own-set, measured here"), page.index("### own-set, measured by others")
    assert here < page.index("| Two ") < others < page.index("Their\\_s &amp; co") < page.index("### UDM10, reported: DOVE")
    (line,) = [line for line in page.splitlines() if "Their" in line and line.startswith("|")]
    assert "[Their\\_s &amp; co](https://x.org/a%20%28b%29%7Cc) (Venue2025)" in line
    assert "**40" not in line and "aligned" in line
    assert "- theirs was scored under --align crop:left=0,width=8" in page


def test_reported_tables_print_the_digits_of_their_column_with_their_source(board: Path) -> None:
    page = written(board)["leaderboard.md"]
    assert "Source: paper A" in page
    assert cells(page, "B") == ["**25.0**"]
    assert "- PSNR: psnr@pyiqa (same:" in page


def test_pairs_are_told_in_words(tmp_path: Path) -> None:
    steady = [30.0 + clip / 10 for clip in range(8)]
    root = board_rows.board(tmp_path, {"one": steady, "two": [value + 1 + value / 100 for value in steady]})
    page = written(root)["leaderboard.md"]
    assert re.search(r"- psnr@y:\n  - \*\*two\*\* better than one: 1\.3035 \[1\.\d+, 1\.\d+\], 8 clips, p = 0\.0078", page)


def test_few_clips_cannot_show_a_difference(board: Path) -> None:
    assert "- psnr@y: no difference shown; 4 clips and 3 pairs cannot show any" in written(board)["leaderboard.md"]


def test_the_csv_has_every_value_of_every_kind(board: Path) -> None:
    table = list(csv.DictReader(io.StringIO(written(board)["leaderboard.csv"])))
    found = {(row["kind"], row["method"]): row for row in table}
    assert found["measured here", "two"]["mean"] == "32.625"
    assert found["measured here", "two"]["source"] == "results/measured/two.csv"
    assert found["measured here", "part"]["mean"] == "" and found["measured here", "part"]["n_ok"] == "3"
    assert found["measured by others", "theirs"]["align"] == "crop:left=0,width=8"
    assert found["reported", "Printed"]["mean"] == "24.1" and found["reported", "Printed"]["source"] == "paper A"


def test_comparisons_have_every_pair(board: Path) -> None:
    table = list(csv.DictReader(io.StringIO(written(board)["comparisons.csv"])))
    assert len(table) == 6
    assert list(table[0]) == statistics.COMPARISONS
    first = {(row["method_a"], row["method_b"]): row for row in table}["one", "two"]
    assert first["difference"] == "-1.125"
    assert first["p"] == "0.125"


def test_ties_share_the_mark_and_leave_no_second(tmp_path: Path) -> None:
    root = board_rows.board(tmp_path, {"one": [30.0, 31.0], "two": [31.0, 30.0], "three": [29.0, 28.0]})
    page = written(root)["leaderboard.md"]
    assert cells(page, "One")[0].startswith("**30.5000**") and cells(page, "Two")[0].startswith("**30.5000**")
    assert cells(page, "Three")[0].startswith("28.5000")


def test_names_from_files_are_shown_as_they_are(tmp_path: Path) -> None:
    root = board_rows.board(tmp_path, {NASTY: [30.0, 31.0], "plain": [30.0, 31.5]})
    board_rows.scores(
        root, "more.csv", [board_rows.score(method="plain", clip=NASTY, value=None, status="failed", measure="ssim@y")]
    )
    texts = written(root)
    assert "<script" not in texts["leaderboard.md"].casefold() and "&lt;Script&gt;\\|X" in texts["leaderboard.md"]
    assert r"\textless{}Script\textgreater{}\textbar{}X & " in texts["leaderboard.tex"]
    assert NASTY in {row["method"] for row in csv.DictReader(io.StringIO(texts["leaderboard.csv"]))}


@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=20))
def test_escaped_markdown_has_no_live_character(text: str) -> None:
    found = markdown.escape(text)
    assert "\n" not in found and "<" not in found and ">" not in found
    assert re.findall(r"(?<!\\)(?:\\\\)*[|`*_\[\]]", found) == []


@given(st.text(max_size=20))
def test_escaped_latex_has_no_live_character(text: str) -> None:
    found = latex.escape(text)
    for command in {*latex._CHARACTERS.values()}:
        found = found.replace(command, "")
    assert re.search(r"[\\$&#_%^~<>|\"`]", found) is None
    assert found.isprintable() or found == ""
    assert balanced(latex.escape(text))


def balanced(text: str) -> bool:
    """Say whether every brace that is not escaped is closed."""
    depth = 0
    for sign in re.findall(r"\\.|[{}]", text):
        depth += {"{": 1, "}": -1}.get(sign, 0)
        if depth < 0:
            return False
    return depth == 0


def test_the_latex_has_the_structure_that_compiles(board: Path) -> None:
    board_rows.card(board, "wide", title="50 % {Wide} #1")
    names = [f"psnr@rgb-crop{number}" for number in range(1, 9)]
    wide = [row for name in names for row in board_rows.of_values("wide", [30.0] * 4, measure=name)]
    board_rows.scores(board, "wide.csv", wide)
    text = written(board)["leaderboard.tex"]
    body = re.sub(r"^%.*$", "", text, flags=re.MULTILINE)
    assert balanced(body)
    stack: list[str] = []
    for what, name in re.findall(r"\\(begin|end)\{(\w+)\}", body):
        if what == "begin":
            stack.append(name)
        else:
            assert stack.pop() == name
    assert stack == []
    for columns, table in re.findall(r"\\begin\{longtable\}\{(\w+)\}(.*?)\\end\{longtable\}", body, flags=re.DOTALL):
        lines = [line for line in table.splitlines() if line.endswith(r" \\")]
        assert len(lines) > 1
        assert {len(re.findall(r"(?<!\\)&", line)) for line in lines} == {len(columns) - 1}
        assert len(columns) <= 1 + latex.WIDE
    assert text.count(r"\toprule") == text.count(r"\midrule") == text.count(r"\bottomrule")
    assert r"\textbf{32.6250}" in text and r"\underline{31.5000}" in text
    assert r"50 \% \{Wide\} \#1" in text


def test_a_board_without_any_row_says_so(tmp_path: Path) -> None:
    assert "Nothing has been measured yet." in written(board_rows.board(tmp_path, {}))["leaderboard.md"]


def test_reported_and_measured_stand_beside_each_other_with_both_protocols(tmp_path: Path) -> None:
    from oasis import cards

    board_rows.card(tmp_path, "dove", title="DOVE")
    clips = cards.load("udm10").clips.names or ()
    names = ("psnr@pyiqa", "dover@technical", "ewarp@dove-exact-half-occ-x1000")
    value = {"psnr@pyiqa": 25.0, "dover@technical": 0.5, "ewarp@dove-exact-half-occ-x1000": 1.5}
    found = [
        board_rows.score(method="dove", dataset="udm10", clip=clip, measure=name, value=value[name])
        for name in names
        for clip in clips
    ]
    board_rows.scores(tmp_path, "dove.csv", found)
    board_rows.reported(
        tmp_path,
        "DOVE,x,UDM10,PSNR,26.48,true,DOVE,paper",
        "DOVE,x,UDM10,DOVER,0.78,true,DOVE,paper",
        "DOVE,x,UDM10,E_warp,1.77,false,DOVE,paper",
        "DOVE,x,UDM10,DOVER-technical,13.1,true,SEEDVR2,other paper",
        "DOVE,x,UDM10,SSIM,0.7,true,DOVE,paper",
        "DOVE,x,SPMCS,PSNR,23,true,DOVE,paper",
        "Other,x,UDM10,PSNR,24,true,DOVE,paper",
    )
    loaded = rows.load(tmp_path / "results", tmp_path / "methods")
    table = against_reported(loaded, loaded.summary).set_index("metric")
    assert sorted(table.index) == ["DOVER", "DOVER-technical", "E_warp", "PSNR"]
    assert table["differs"].to_dict() == {"DOVER": True, "DOVER-technical": False, "E_warp": True, "PSNR": False}
    assert table.loc["PSNR", "mean"] == 25 and table.loc["PSNR", "measure"] == "psnr@pyiqa"
    assert table.loc["DOVER", "measure"] == "" and math.isnan(table.loc["DOVER", "mean"])
    assert "nobody can reproduce this column" in table.loc["DOVER", "flag"]
    assert "inferred" in table.loc["E_warp", "flag"]
    assert all("input:" in flag for flag in table["flag"])
    page = markdown.text(loaded, table.reset_index())
    assert "dover@technical times 100 = 50.0000, measured here" in page
    assert page.count("**protocols differ**") == 2


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(1 / 3, 6, "0.333333"), (-1e-17, 6, "0"), (30.0, 6, "30"), (math.inf, 6, "inf"), (math.nan, 6, "")],
)
def test_numbers_have_fixed_digits(value: float, digits: int, text: str) -> None:
    assert fixed(value, digits) == text
