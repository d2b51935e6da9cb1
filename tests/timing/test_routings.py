from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oasis.routing import FRAME, GLOBAL, RoutingTable, window
from oasis.timing.routings import THIRDS, label, layer, shares, table


def test_shares_become_heads_and_heads_a_label() -> None:
    assert shares(THIRDS, 12) == (GLOBAL,) * 4 + (FRAME,) * 4 + (window(8, 8),) * 4
    assert shares(THIRDS, 8) == (GLOBAL,) * 3 + (FRAME,) * 3 + (window(8, 8),) * 2
    assert label(shares("frame=3,global", 4)) == "3 frame + 1 global"
    assert shares("window-4x4-shift", 2) == (window(4, 4, shift=True),) * 2


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=3), st.integers(1, 40))
def test_every_head_gets_a_pattern_and_no_share_is_off_by_a_head(weights: list[float], heads: int) -> None:
    names = ["global", "frame", "window-8x8"][: len(weights)]
    found = shares(",".join(f"{name}={weight!r}" for name, weight in zip(names, weights, strict=True)), heads)
    assert len(found) == heads
    for pattern, weight in zip((GLOBAL, FRAME, window(8, 8)), weights, strict=False):
        assert abs(found.count(pattern) - heads * weight / sum(weights)) < 1


@pytest.mark.parametrize(
    "text", ["", "somewhere", "global=x", "global=0", "global=-1", "global=inf", "frame,frame", "global=1,"]
)
def test_what_are_no_shares_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"allowed|must name"):
        shares(text, 4)


def test_a_file_gives_its_layers(tmp_path: Path) -> None:
    path = tmp_path / "routing.json"
    made = RoutingTable(model="m", weights_sha256="", patterns={"G": GLOBAL, "F": FRAME}, layers=("GFGF", "FFFF"))
    made.save(path)
    assert layer(str(path), 4) == (FRAME, FRAME, GLOBAL, GLOBAL)
    assert layer(f"{path}:1", 4) == (FRAME,) * 4
    assert table(str(path), "other", 9, 9) == made
    for text, heads in ((str(path), 5), (f"{path}:2", 4), (f"{path}:x", 4)):
        with pytest.raises(ValueError, match="2 layers of 4 heads"):
            layer(text, heads)


def test_shares_make_a_table_of_equal_layers() -> None:
    made = table(THIRDS, "m", 2, 3)
    assert made.layer_patterns(0) == made.layer_patterns(1) == (GLOBAL, FRAME, window(8, 8))
