"""`oasis flops`: readable, without torch, and one sentence for bad input."""

import subprocess
import sys
from pathlib import Path

import pytest

from oasis import cost, costs
from oasis.cli import main
from oasis.configs import TINY, WAN_1_3B
from oasis.routing import FRAME, GLOBAL, RoutingTable
from oasis.tiling import Tiling

BARE = """
import sys
from oasis.cli import main
assert main(["flops", "--model", "wan-1.3b", "--rule", "uniform:pattern=window-8x8", "--backend", "flex"]) == 0
print({"torch", "diffusers", "fvcore"} & set(sys.modules))
"""


def test_the_full_size_needs_no_torch() -> None:
    done = subprocess.run([sys.executable, "-c", BARE], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == "set()"
    assert lines[0].startswith("oasis-wan-1.3b, routed by uniform:pattern=window-8x8; LQ 33x180x320")
    (total,) = (line.split() for line in lines if line.startswith("total"))
    work = cost.levels(cost.operations(WAN_1_3B, (33, 180, 320)))[cost.Level("total")]
    assert float(total[1]) == pytest.approx(work.dense / 1e12, abs=1e-4)
    assert float(total[2]) < float(total[3]) < float(total[1])
    assert total[4] == "1,492,751,155"


def test_rows_are_written_as_they_were_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "costs.csv"
    table = RoutingTable(model="oasis-tiny", weights_sha256="0", patterns={"G": GLOBAL, "F": FRAME}, layers=("GGFFFFFF",) * 8)
    table.save(tmp_path / "half.json")
    words = f"flops --size 20x50x90 --tile 17x48x80 --routing {tmp_path}/half.json --dtype fp32 --per-layer --csv {path}"
    assert main(words.split()) == 0
    rows, fingerprint = costs.read(path)
    operations = cost.clip_operations(TINY, (20, 50, 90), Tiling(), table)
    assert rows == cost.costs(operations, subject="tiny/half", case="20x50x90", itemsize=4)
    assert fingerprint["tile"] == "17x48x80" and fingerprint["dtype"] == "fp32"
    before = path.read_bytes()
    assert main(words.split()) == 0 and path.read_bytes() == before
    said = capsys.readouterr().out
    assert "    layer 7\n" not in said and "\n    layer 7 " in said and "trunk.3.mix" in said and str(path) in said


def test_a_random_routing_has_its_shares(tmp_path: Path) -> None:
    path = tmp_path / "costs.csv"
    rule = "random:seed=3,frame=0.5,global=0.25,window-4x4=0.25"
    assert main(["flops", "--size", "9x16x24", "--rule", rule, "--csv", str(path)]) == 0
    dense = {row.part: row.flops for row in costs.read(path)[0] if row.kind == "dense" and row.layer < 0}
    attention = "self-attention scores and values"
    assert dense[f"{attention}: frame"] == 2 * dense[f"{attention}: window-4x4"] == dense[attention] // 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--size 33x180", "--size is '33x180'"),
        ("--size 0x180x320", "--size is '0x180x320'"),
        ("--tile 17x48", "--tile is '17x48'"),
        ("--kernel-tile 64", "--kernel-tile is '64'"),
        ("--rule budget:ratio=0.5", "needs measured heads"),
        ("--rule uniform:pattern=window", "pattern 'window' is unknown"),
        ("--rule uniform:pattern=3", "must be a pattern's name"),
        ("--rule random:seed=0,frame=0.5", "shares must add up to 1"),
        ("--routing missing.json", "missing.json"),
        ("--model huge", "invalid choice"),
        ("--csv .", "there is a folder of this name"),
        ("--routing other.json", "is for model 'other', --model is 'oasis-tiny'"),
    ],
)
def test_bad_input_gets_one_sentence(
    words: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    table = RoutingTable(model="other", weights_sha256="0", patterns={"G": GLOBAL}, layers=("G" * 8,) * 8)
    table.save(tmp_path / "other.json")
    assert main(["flops", *words.split()]) == 2
    found = capsys.readouterr()
    assert found.out == "" and len(found.err.splitlines()) == 1 and said in found.err
    assert [path.name for path in tmp_path.iterdir()] == ["other.json"]
