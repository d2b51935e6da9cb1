import math
from pathlib import Path

import board_rows
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oasis import results
from oasis.report.board import scorefile

PRINTABLE = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=8)
FIELD = st.sampled_from(["", "nan", "-NaN", "inf", "1e5", "ok", "failed", "1_0", " 1", "x", '"', "1,2", "\n", "9" * 30, "none"])
ROW = st.tuples(PRINTABLE, PRINTABLE, st.one_of(st.none(), st.floats(allow_nan=False)), st.integers(0, 9))


def same(path: Path) -> None:
    """Both readers give the same rows, or the same refusal."""
    try:
        plain, fingerprint = results.read(path)
    except ValueError as refusal:
        with pytest.raises(ValueError) as fast:
            scorefile.read(path)
        assert str(fast.value) == str(refusal)
        return
    found = scorefile.read(path)
    assert found.fingerprint == fingerprint
    for name in scorefile.TEXTS:
        assert list(found.texts[name]) == [getattr(row, name) for row in plain]
    for name in ("version", "frames"):
        assert getattr(found, name).tolist() == [getattr(row, name) for row in plain]
    np.testing.assert_array_equal(found.value, [math.nan if row.value is None else row.value for row in plain])


@given(st.lists(ROW))
def test_what_oasis_wrote_is_read_as_the_plain_reader_reads_it(tmp_path_factory: pytest.TempPathFactory, rows: list) -> None:
    path = tmp_path_factory.mktemp("rows") / "scores.csv"
    written = [
        board_rows.score(
            clip=clip, align=align, version=version, value=value, status="unavailable" if value is None else "ok", reason="why"
        )
        for clip, align, value, version in rows
    ]
    results.write(path, written, {"method": 'a, # "x"'})
    same(path)


@given(st.integers(0, 11), FIELD, st.integers(0, 2))
def test_a_changed_field_is_read_or_refused_alike(
    tmp_path_factory: pytest.TempPathFactory, column: int, text: str, line: int
) -> None:
    path = tmp_path_factory.mktemp("rows") / "scores.csv"
    results.write(path, board_rows.of_values("one", [30.0, None, 31.5]), {"method": "one"})
    lines = path.read_text(encoding="utf-8").splitlines()
    fields = lines[2 + line].split(",")
    fields[column] = text
    lines[2 + line] = ",".join(fields)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    if text == "9" * 30 and column in (4, 7):  # Python's integers have no end, a column of them has
        with pytest.raises(ValueError, match="not a score file"):
            scorefile.read(path)
    else:
        same(path)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("# {", "{"),
        ('"format": 1', '"format": 2'),
        ('"format": 1', '"format": 1, "kind": "timings"'),
        ("method,", "Method,"),
        (",ok,", ","),
        ("\n", "\n\n"),
    ],
)
def test_another_file_is_refused_alike(tmp_path: Path, before: str, after: str) -> None:
    path = tmp_path / "scores.csv"
    results.write(path, [board_rows.score()], {})
    path.write_text(path.read_text(encoding="utf-8").replace(before, after, 1), encoding="utf-8")
    same(path)


def test_an_endless_field_is_refused_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    results.write(path, [board_rows.score(reason="x" * 200_000)], {})
    with pytest.raises(ValueError, match=r"scores\.csv: not a table of this project"):
        scorefile.read(path)
