from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oasis import costs, tables, timings
from oasis.costs import Cost
from oasis.timings import Timing

PRINTABLE = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12)


def timing(**more: object) -> Timing:
    row = {
        "subject": "tiny-dense",
        "what": "model",
        "phase": "total",
        "case": "17x48x80",
        "backend": "folded",
        "dtype": "float32",
        "device": "cpu",
        "cache": "warm",
        "p20": 0.1,
        "p50": 0.2,
        "p80": 0.3,
        "ratio": 1.0,
        "baseline": "tiny-dense",
        "rounds": 7,
        "peak_mib": None,
        "frames": 17,
    }
    return Timing(**row | more)  # type: ignore[arg-type]


COST = Cost(
    subject="tiny",
    case="17x48x80",
    phase="dit",
    part="",
    layer=-1,
    kind="useful",
    flops=10**18,
    parameters=1,
    weight_bytes=4,
    activation_bytes=8,
)


@given(st.lists(st.tuples(PRINTABLE, st.floats(1e-9, 1e9), st.one_of(st.none(), st.floats(0, 1e9)))))
def test_reading_gives_back_what_was_written(tmp_path_factory: pytest.TempPathFactory, rows: list) -> None:
    path = tmp_path_factory.mktemp("rows") / "timings.csv"
    written = [timing(subject=name, p20=s, p50=s, p80=s, peak_mib=peak) for name, s, peak in rows]
    timings.write(path, written, {"processor": 'x, "y" # z'})
    found, fingerprint = timings.read(path)
    assert found == written
    assert fingerprint == {"format": 1, "kind": "timings", "processor": 'x, "y" # z'}


def test_costs_keep_every_digit(tmp_path: Path) -> None:
    costs.write(tmp_path / "c.csv", [COST], {})
    assert costs.read(tmp_path / "c.csv")[0] == [COST]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("# {", "{", "first line"),
        ('"kind": "timings"', '"kind": "costs"', "not a file of timings"),
        ("subject,what", "what,subject", "columns are"),
        (",model,", ",modle,", "line 3: what is 'modle'; allowed: attention, model, pipeline"),
        (",0.2,", ",0.05,", "line 3: p20, p50, p80 are 0.1, 0.05, 0.3"),
        (",0.2,", ",nan,", "line 3: p50 is 'nan'"),
        (",0.2,", ",soon,", "line 3: p50 is 'soon'; allowed: a number"),
        (",7,", ",7.5,", "line 3: rounds is '7.5'; allowed: a whole number"),
        (",7,", ",7,7,", "line 3: another number of fields"),
        ("tiny-dense", "x" * 200_000, "line 3: field larger than"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, before: str, after: str, said: str) -> None:
    path = tmp_path / "timings.csv"
    timings.write(path, [timing()], {})
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after, 1), encoding="utf-8")
    with pytest.raises(ValueError, match=said) as error:
        timings.read(path)
    assert "timings.csv" in str(error.value)


def test_numbers_of_numpy_are_written_as_numbers(tmp_path: Path) -> None:
    timings.write(tmp_path / "t.csv", [timing(p50=np.float64(0.2))], {})
    assert timings.read(tmp_path / "t.csv")[0] == [timing()]


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="not a table"):
        tables.read(tmp_path / "t.csv", Timing)
