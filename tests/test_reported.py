from collections import Counter
from pathlib import Path

import pytest

from oasis import cards, measures, reported

ROWS = Path(__file__).parents[1] / "reports" / "results" / "reported"
HEADER = "method,venue,dataset,metric,value,higher_is_better,protocol,source\n"


def test_the_committed_tables_are_read_whole() -> None:
    rows = reported.read(ROWS / "published.csv")
    assert len(rows) == len((ROWS / "published.csv").read_text(encoding="utf-8").splitlines()) - 1
    assert all(row.source for row in rows)
    assert any(row.runtime_s is None for row in reported.read_efficiency(ROWS / "efficiency.csv"))


def test_every_named_measure_and_card_exists() -> None:
    rows = reported.read(ROWS / "published.csv")
    found = [reported.protocol_of(row.metric, row.protocol) for row in rows]
    for one in found:
        if one.measure:
            measures.find(one.measure)
    assert {one.status for one in found} == {"same", "inferred", "unknown", "irreproducible"}
    names = {reported.card_of(row.dataset)[0] for row in rows} - {None}
    assert names <= set(cards.names())


def test_directions_agree_with_ours() -> None:
    for row in reported.read(ROWS / "published.csv"):
        found = reported.protocol_of(row.metric, row.protocol)
        if found.measure:
            assert (measures.find(found.measure).better == "higher") == row.higher_is_better, row


def test_the_column_that_nobody_can_reproduce_has_no_measure() -> None:
    for protocol in ("DOVE", "OASIS"):
        found = reported.protocol_of("DOVER", protocol)
        assert (found.measure, found.status) == (None, "irreproducible")
    assert Counter(reported.protocol_of("PSNR", p).status for p in ("DOVE", "SEEDVR")) == {"same": 1, "unknown": 1}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("A,x,UDM10,PSNR,high,true,DOVE,paper", "line 2: value is 'high'"),
        ("A,x,UDM10,PSNR,nan,true,DOVE,paper", "line 2: value is 'nan'"),
        ("A,x,UDM10,PSNR,,true,DOVE,paper", "line 2: value is empty"),
        ("A,x,UDM10,PSNR,24,yes,DOVE,paper", "line 2: higher_is_better is 'yes'"),
        ("A,x,UDM10,PSNR,24,true,DOVE,", "line 2: source is empty"),
        ("A,x,UDM10,PSNR,24,true,DOVE", "line 2: another number of fields"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "r.csv").write_text(HEADER + line + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match=said):
        reported.read(tmp_path / "r.csv")
