import random
from pathlib import Path
from typing import Any

import board_rows
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oasis import results
from oasis.report.board import rows
from oasis.report.board.write import write_board


def load(root: Path) -> rows.Rows:
    return rows.load(root / "results", root / "methods")


def refused(root: Path) -> str:
    with pytest.raises(ValueError) as refusal:
        load(root)
    return str(refusal.value)


def test_rows_have_their_kind_file_and_line_and_are_sorted(tmp_path: Path) -> None:
    board_rows.board(tmp_path, {"two": [1.0, 2.0]})
    board_rows.card(tmp_path, "one")
    board_rows.scores(tmp_path, "x.csv", board_rows.of_values("one", [3.0, None])[::-1], kind="others")
    found = load(tmp_path).scores
    assert found["method"].tolist() == ["one", "one", "two", "two"]
    assert found["kind"].tolist() == ["measured by others"] * 2 + ["measured here"] * 2
    assert found["file"].tolist() == ["results/others/x.csv"] * 2 + ["results/measured/two.csv"] * 2
    assert found["line"].tolist() == [4, 3, 3, 4]
    assert found["value"].isna().tolist() == [False, True, False, False]


@given(st.randoms())
@settings(max_examples=10, deadline=None)
def test_the_order_of_rows_and_files_changes_no_byte(tmp_path_factory: pytest.TempPathFactory, order: random.Random) -> None:
    values = {"b": [30.0, 31.0, 32.0], "a": [30.5, 31.0, None], "c": [30.5, 30.0, 32.5]}
    roots = [tmp_path_factory.mktemp("board") for _ in range(2)]
    for number, root in enumerate(roots):
        names = list(values)
        if number:
            order.shuffle(names)
        (root / "results").mkdir()
        for name in names:
            board_rows.card(root, name)
            found = board_rows.of_values(name, values[name]) + board_rows.of_values(name, [0.1, 0.2, 0.3], measure="lpips@alex")
            if number:
                order.shuffle(found)
            board_rows.scores(root, f"{name}.csv", found)
    for one, two in zip(*(write_board(load(root), root / "out") for root in roots), strict=True):
        assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"measure": "psnr@z"}, "there is no measure 'psnr@z'"),
        ({"measure": "ssim@y", "value": 85.3}, "value is 85.3; allowed: -1 to 1 for ssim@y (another unit?)"),
        ({"measure": "psnr@y", "value": -3.0}, "value is -3.0; allowed: 0 to inf for psnr@y"),
        ({"clip": "000"}, "clip '000' has a second psnr@y of 'one' on 'own-set' (the other: results/measured/a.csv, line 3)"),
        ({"method": "two"}, "method is 'two'; allowed: 'one', which the fingerprint says"),
        ({"dataset": "reds4"}, "dataset is 'reds4'; allowed: 'own-set', which the fingerprint says"),
    ],
)
def test_a_bad_row_is_refused_with_its_place(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    board_rows.card(tmp_path, "one")
    board_rows.scores(tmp_path, "a.csv", [board_rows.score(), board_rows.score(**{"clip": "001"} | changed)])
    assert refused(tmp_path).startswith(f"results/measured/a.csv, line 4: {said}")


def test_nan_is_refused_with_its_place(tmp_path: Path) -> None:
    path = board_rows.board(tmp_path, {"one": [1.0, 2.5]}) / "results" / "measured" / "one.csv"
    path.write_text(path.read_text(encoding="utf-8").replace(",2.5,", ",nan,"), encoding="utf-8")
    assert "line 4: value is 'nan'; allowed: a number" in refused(tmp_path)


def test_a_second_file_with_the_same_rows_is_refused_but_another_kind_is_not(tmp_path: Path) -> None:
    board_rows.board(tmp_path, {"one": [1.0]})
    path = board_rows.scores(tmp_path, "again.csv", board_rows.of_values("one", [2.0]), kind="others")
    assert len(load(tmp_path).scores) == 2
    path.rename(tmp_path / "results" / "measured" / "again.csv")
    assert "has a second psnr@y" in refused(tmp_path)


def test_a_clip_that_the_card_does_not_have_is_refused(tmp_path: Path) -> None:
    board_rows.card(tmp_path, "one")
    board_rows.scores(tmp_path, "a.csv", [board_rows.score(dataset="reds4", clip="999")])
    assert refused(tmp_path) == "results/measured/a.csv, line 3: clip is '999'; allowed: those of the card reds4"


def test_another_spelling_of_a_data_set_is_refused(tmp_path: Path) -> None:
    board_rows.card(tmp_path, "one")
    board_rows.scores(tmp_path, "a.csv", [board_rows.score(dataset="UDM10")])
    assert refused(tmp_path) == "results/measured/a.csv, line 3: dataset is 'UDM10'; allowed: 'udm10', as its card is called"


def test_a_method_without_a_card_is_refused(tmp_path: Path) -> None:
    board_rows.board(tmp_path, {"two": [1.0]})
    board_rows.scores(tmp_path, "a.csv", [board_rows.score()])
    assert "results/measured/a.csv, line 3: method is 'one', which has no card" in refused(tmp_path)


def test_a_file_without_rows_is_refused(tmp_path: Path) -> None:
    board_rows.board(tmp_path, {"two": [1.0]})
    results.write(tmp_path / "results" / "measured" / "a.csv", [], {"method": "two", "dataset": "own-set"})
    assert "results/measured/a.csv: there are no rows" in refused(tmp_path)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no such folder"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"reference_sha256": "c" * 64}, "other reference"),
        ({"frames": 29}, "other frames"),
        ({"version": 7}, "other version"),
    ],
)
def test_rows_of_another_protocol_are_told_and_set_apart(tmp_path: Path, changed: dict[str, Any], reason: str) -> None:
    board_rows.board(tmp_path, {name: [30.0, 31.0] for name in ("one", "two", "three")})
    board_rows.card(tmp_path, "odd")
    board_rows.scores(tmp_path, "odd.csv", board_rows.of_values("odd", [50.0, 51.0], **changed))
    loaded = load(tmp_path)
    assert set(loaded.scores.loc[loaded.scores["method"] == "odd", "apart"]) == {reason}
    assert set(loaded.scores.loc[loaded.scores["method"] != "odd", "apart"]) == {""}
    (problem,) = loaded.problems
    assert problem.startswith("results/measured/odd.csv: 2 rows are ")
    assert problem.endswith("(first line 3: psnr@y of clip 000): shown, neither ranked nor compared")


def test_rows_measured_here_say_what_the_reference_is(tmp_path: Path) -> None:
    board_rows.board(tmp_path, {"here": [30.0]})
    for name in ("x", "y"):
        board_rows.card(tmp_path, name)
        other = board_rows.of_values(name, [31.0], reference_sha256="c" * 64)
        board_rows.scores(tmp_path, f"{name}.csv", other, kind="others")
    found = load(tmp_path).scores
    assert dict(zip(found["method"], found["apart"], strict=True)) == {
        "here": "",
        "x": "other reference",
        "y": "other reference",
    }


def test_a_measure_without_reference_does_not_mind_another_one(tmp_path: Path) -> None:
    board_rows.board(tmp_path, {"one": [3.0], "two": [3.5]}, measure="niqe@pyiqa")
    board_rows.card(tmp_path, "odd")
    rows_without = board_rows.of_values("odd", [4.0], measure="niqe@pyiqa", reference_sha256="")
    board_rows.scores(tmp_path, "odd.csv", rows_without)
    assert load(tmp_path).problems == ()


def test_other_low_quality_input_is_set_apart_where_it_is_known(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    inputs: dict[str, dict[str, str] | None] = {"one": {"000": "l"}, "two": {"000": "l"}, "odd": {"000": "m"}, "unknown": None}
    for name, hashes in inputs.items():
        board_rows.card(tmp_path, name)
        said = {"lq_sha256": hashes} if hashes else {}
        board_rows.scores(tmp_path, f"{name}.csv", board_rows.of_values(name, [30.0]), fingerprint=said)
    found = load(tmp_path).scores
    apart = dict(zip(found["method"], found["apart"], strict=True))
    assert apart == {"one": "", "two": "", "odd": "other input", "unknown": ""}


def test_a_reported_number_twice_from_one_source_is_refused(tmp_path: Path) -> None:
    board_rows.board(tmp_path, {})
    board_rows.reported(tmp_path, "A,x,UDM10,PSNR,24,true,DOVE,paper", "A,x,UDM10,PSNR,25,true,DOVE,paper")
    assert "results/reported/published.csv, line 3: 'A' has a second PSNR on 'UDM10' from one source" in refused(tmp_path)


def test_reported_numbers_say_what_they_mean(tmp_path: Path) -> None:
    board_rows.board(tmp_path, {})
    board_rows.reported(tmp_path, "A,x,UDM10,PSNR,24,true,DOVE,paper", "A,x,UDM10,DOVER,.5,true,DOVE,paper")
    found = load(tmp_path).reported
    assert found[["metric", "status", "card"]].to_numpy().tolist() == [
        ["DOVER", "irreproducible", "udm10"],
        ["PSNR", "same", "udm10"],
    ]
    assert found["measure"].isna().tolist() == [True, False]


def test_the_committed_rows_load() -> None:
    root = Path(__file__).parents[3] / "reports"
    loaded = load(root)
    assert len(loaded.reported) > 1000


def test_a_routing_that_is_no_number_is_refused(tmp_path: Path) -> None:
    source = Path(__file__).parents[3] / "reports" / "results" / "routings" / "oasis-tiny.csv"
    text = source.read_text(encoding="utf-8")
    ratio = text.splitlines()[2].split(",")[-5]
    for folder in ("results/routings", "methods"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "results" / "routings" / "r.csv").write_text(text.replace(f",{ratio},", ",nan,", 1), encoding="utf-8")
    with pytest.raises(ValueError, match=r"r\.csv, line 3: seconds_ratio is 'nan'"):
        rows.load(tmp_path / "results", tmp_path / "methods")
