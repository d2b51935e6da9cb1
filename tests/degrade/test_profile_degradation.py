"""The door that times degradations: what its columns hold, and that rows are added."""

import csv
import runpy
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from oasis import video

DOOR = Path(__file__).parents[2] / "benchmarks/profile_degradation.py"


def run(monkeypatch, folder):
    arguments = ["--clip", folder / "a.mkv", "--recipes", "standard", "bi", "--frames", 2, "--clips", 3, "--workers", 1]
    monkeypatch.setattr(sys, "argv", [DOOR.name, *map(str, arguments), "--csv", str(folder / "rows.csv")])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(DOOR), run_name="__main__")
    return ended.value.code


def test_a_step_is_not_charged_for_the_steps_before_it():
    steps = runpy.run_path(str(DOOR))["Stopwatch"]()

    def busy(frames, seconds):
        for frame in frames:
            end = time.process_time() + seconds
            while time.process_time() < end:
                pass
            yield frame

    slow = steps.watch({"op": "blur"}, busy(range(4), 0.05))
    assert list(steps.watch({"op": "jpeg"}, busy(slow, 0.01))) == [0, 1, 2, 3]
    steps.switch("rest")
    assert 0.2 <= steps.seconds["blur"] < 0.23 and 0.04 <= steps.seconds["jpeg"] < 0.07 and steps.running == "rest"


def test_rows_are_added_below_what_they_are_called(tmp_path, monkeypatch, capsys):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 128, 160), dtype=np.uint8)
    video.write(tmp_path / "a.mkv", torch.from_numpy(pixels), 24)
    assert run(monkeypatch, tmp_path) == run(monkeypatch, tmp_path) == 0
    rows = list(csv.DictReader((tmp_path / "rows.csv").read_text().splitlines()))
    assert [row["recipe"] for row in rows] == ["standard", "bi"] * 2
    for row in rows:
        assert (row["clips"], row["frames"], row["height"], row["width"], row["workers"]) == ("3", "2", "128", "160", "1")
        assert 0 < float(row["slowest_clip_per_cpu_s"]) <= float(row["frames_per_cpu_s"])
        steps = {name: float(value) for name, value in row.items() if name.endswith("_ms")}
        assert sum(steps.values()) == pytest.approx(1000 / float(row["frames_per_cpu_s"]))
        assert all(value >= 0 for value in steps.values()) and steps["rest_ms"] > 0
        assert (steps["blur_ms"] > 0) == (row["recipe"] == "standard") and steps["video_ms"] == 0

    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    capsys.readouterr()
    assert run(monkeypatch, tmp_path) == 2
    assert "rows.csv: has other columns; allowed: recipe, frames_per_s, " in capsys.readouterr().err
    assert (tmp_path / "rows.csv").read_text() == "a,b\n1,2\n"
