"""What a user types wrongly into a profiler gets one sentence and exit status 2, and writes nothing."""

import runpy
import sys
from pathlib import Path

import pytest
from little import checkpoint

from oasis import timings

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def run(monkeypatch: pytest.MonkeyPatch, door: str, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", [door, *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(BENCHMARKS / door), run_name="__main__")
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.parametrize(
    "door, arguments, said",
    [
        ("profile_attention.py", ["--grid", "5x24"], "--grid is '5x24'"),
        ("profile_attention.py", ["--frames", "1,x"], "--frames is '1,x'"),
        ("profile_attention.py", ["--routing", "nowhere"], "pattern 'nowhere' is unknown"),
        ("profile_attention.py", ["--routing", "none.json"], "none.json: No such file"),
        ("profile_attention.py", ["--rounds", "0"], "--rounds is 0"),
        ("profile_attention.py", ["--spread", "0"], "positive spread"),
        ("profile_attention.py", ["--threads", "0"], "--threads is 0"),
        ("profile_attention.py", ["--dtype", "int8"], "int8"),
        ("profile_model.py", ["--layers", "1"], "layers is 1 for 'tiny'"),
        ("profile_model.py", ["--clip", "17"], "--clip is '17'"),
        ("profile_model.py", ["--backend", "varlen", "--rounds", "1"], "'varlen' runs on CUDA in bfloat16 and float16"),
        ("profile_attention.py", ["--backend", "ordered", "--routing", "frame", "--frames", ""], "this routing has none"),
        ("profile_model.py", ["--graph"], "CUDA graphs need a CUDA device, and this model is on cpu"),
        ("profile_model.py", ["--fp8"], "fp8 needs a CUDA device of compute capability 8.9 or more"),
        ("profile_fp8.py", ["--model", "none"], "model 'none' is unknown"),
        ("profile_decoder.py", ["--width", "2", "--latents", "1x1x1", "--graph"], "CUDA graphs need a CUDA device"),
        ("profile_model.py", ["--model", "none"], "model 'none' is unknown"),
        ("profile_pipeline.py", ["--clip", "none.mp4"], "none.mp4"),
        ("profile_pipeline.py", ["--tile", "0x1x1"], "--tile is '0x1x1'"),
        ("profile_peers.py", ["--size", "33x180"], "--size is '33x180'"),
        ("profile_peers.py", ["--size", "32x180x320"], "the LQ clip is 32x180x320"),
    ],
)
def test_wrong_input_is_one_sentence(
    door: str,
    arguments: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    out = tmp_path / "rows.csv"
    assert run(monkeypatch, door, *arguments, "--device", "cpu", "--csv", str(out)) == 2
    error = capsys.readouterr().err
    assert said in error and error.startswith("error: ") and error.count("\n") == 1
    assert not out.exists()


def test_a_profiler_prints_and_writes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "new" / "rows.csv"
    small = ["--grid", "2x4x4", "--frames", "1", "--sizes", "", "--heads", "3", "--d", "8", "--rounds", "2", "--no-memory"]
    assert run(monkeypatch, "profile_attention.py", *small, "--cold", "--device", "cpu", "--csv", str(out)) == 0
    printed = capsys.readouterr().out
    for wanted in ("grows with length as tokens^", "beats dense:", "of the FLOPs", "caches cold", "MHz", str(out)):
        assert wanted in printed
    assert ",cold," in out.read_text()
    about = timings.read(out)[1]
    assert (about["heads"], about["head_dim"]) == (3, 8)
    assert any("of the FLOPs" in finding for finding in about["findings"])


def test_what_fp8_costs_is_told_for_every_held_out_clip(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = checkpoint(tmp_path / "little", layers=1)
    assert run(monkeypatch, "profile_fp8.py", "--model", str(folder), "--frames", "1", "--device", "cpu") == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    means = {" ".join(line[1:-5]): [float(number) for number in line[-4:]] for line in lines if line[-5] == "mean"}
    assert list(means) == ["float32", "fp8", "bfloat16", "bfloat16 with fp8"]
    assert means["float32"][1:] == [0, float("inf"), 0]
    assert 20 < means["fp8"][2] < 90 and 1e-4 < means["fp8"][3] < 0.1  # it differs, and not by much
    assert sum(line[1] == "fp8" for line in lines) == 5


def test_methods_side_by_side_begin_with_what_they_are_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "rows.csv"
    small = ["--small", "--size", "9x8x8", "--rounds", "1", "--device", "cpu"]
    assert run(monkeypatch, "profile_peers.py", *small, "--no-memory", "--csv", str(out)) == 0
    first, *_, last = capsys.readouterr().out.splitlines()
    assert first.startswith("RANDOM WEIGHTS") and last == str(out)
    header, *rows = out.read_text().splitlines()[1:]
    assert len(rows) == 16 and header.split(",")[2] == "weights" and {row.split(",")[2] for row in rows} == {"random"}
