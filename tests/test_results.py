import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oasis import results
from oasis.results import Score

PRINTABLE = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12)


def score(**more: object) -> Score:
    row = {
        "method": "ours",
        "dataset": "UDM10",
        "clip": "000",
        "measure": "psnr@y",
        "version": 1,
        "status": "ok",
        "value": 31.25,
        "frames": 32,
        "align": "none",
        "output_sha256": "a" * 64,
        "reference_sha256": "b" * 64,
        "reason": "",
    }
    return Score(**row | more)  # type: ignore[arg-type]


@given(st.lists(st.tuples(PRINTABLE, PRINTABLE, st.one_of(st.none(), st.floats(allow_nan=False)))))
def test_reading_gives_back_what_was_written(tmp_path_factory: pytest.TempPathFactory, rows: list) -> None:
    path = tmp_path_factory.mktemp("rows") / "scores.csv"
    written = [
        score(clip=clip, reason=" ".join(reason.split()), value=value, status="failed" if value is None else "ok")
        for clip, reason, value in rows
    ]
    results.write(path, written, {"dataset": 'UDM10, # "x"'})
    found, fingerprint = results.read(path)
    assert found == written
    assert fingerprint == {"format": 1, "dataset": 'UDM10, # "x"'}


def test_infinity_survives(tmp_path: Path) -> None:
    results.write(tmp_path / "s.csv", [score(value=math.inf)], {})
    assert results.read(tmp_path / "s.csv")[0][0].value == math.inf


def test_equal_rows_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        results.write(tmp_path / name, [score(), score(clip="001")], {"b": 1, "a": 2})
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("# {", "{", "first line"),
        ('"format": 1', '"format": 2', "format 1"),
        ("method,", "Method,", "columns are"),
        (",ok,", ",fine,", "line 3: status is 'fine'"),
        (",31.25,", ",,", "line 3: status is 'ok' with the value None"),
        (",31.25,", ",nan,", "line 3: value is 'nan'"),
        (",31.25,", ",warm,", "line 3"),
        (",ok,", ",", "another number of fields"),
    ],
)
def test_a_file_that_was_not_written_by_score_is_refused(tmp_path: Path, before: str, after: str, said: str) -> None:
    path = tmp_path / "scores.csv"
    results.write(path, [score()], {})
    path.write_text(path.read_text().replace(before, after, 1))
    with pytest.raises(ValueError, match=said) as refusal:
        results.read(path)
    assert str(path) in str(refusal.value)


def test_binary_is_refused(tmp_path: Path) -> None:
    (tmp_path / "scores.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="not a table of this project"):
        results.read(tmp_path / "scores.csv")
