"""`oasis harm` and `oasis frontier` on a small network: from clips to chapters, stopped and gone on, refused."""

import dataclasses
import functools
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from little import checkpoint, moving

from oasis import frontiers, harms, timings, video
from oasis.causality import executed, fronts, latency, measured, predict, seconds
from oasis.causality.arms import BUDGETS, RANDOM
from oasis.causality.dense import Dense
from oasis.causality.judged import quality
from oasis.cli import main
from oasis.data import builtin
from oasis.data.cutting import Cut, take
from oasis.model import load_model
from oasis.report.chapters import read_chapter
from oasis.routing import RoutingTable
from oasis.score.store import Store
from oasis.timing.rounds import Until

SIZE = ["--frames", "5", "--crop", "16x16", "--clips", "2", "--pairs", "6", "--patterns", "frame,window-4x4"]
HERE = ["--device", "cpu", "--workers", "1"]
TABLES = ("heads.csv", "harms.csv", "changes.csv")
STOPPED = """
import os, signal, sys
from oasis.cli import main
from oasis.score.store import Store
put, done = Store.put, []
def put_and_die(self, name, record):
    put(self, name, record)
    done.append(name)
    if len(done) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
Store.put = put_and_die
main(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("model") / "little", layers=2, heads=3)


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """Render each clip once and time two rounds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builtin, "make", functools.cache(builtin.make))
        for module in (latency, seconds):
            patch.setattr(module, "UNTIL", Until(spread=10.0, seconds=0.01, least=2))
        yield


@pytest.fixture(scope="module")
def done(model: Path, quick: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run of both commands."""
    work = tmp_path_factory.mktemp("done") / "work"
    assert main(["harm", str(work), "--model", str(model), *SIZE, *HERE]) == 0
    assert main(["frontier", str(work), "--model", str(model), "--clips", "2", "--seeds", "2", *HERE]) == 0
    return work


def rows_of(work: Path) -> dict[str, bytes]:
    return {name: (work / "harm" / name).read_bytes() for name in TABLES}


def asked(model: Path) -> measured.Request:
    """The same request as SIZE."""
    cut = Cut(frames=5, crop=(16, 16), clips=2)
    return measured.Request(model=str(model), patterns=("frame", "window-4x4"), cut=cut, pairs=6)


def test_a_run_that_was_killed_goes_on_in_several_processes_to_the_same_bytes(model: Path, done: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    given = ["harm", str(work), "--model", str(model), *SIZE, *HERE]
    stopped = subprocess.run([sys.executable, "-c", STOPPED, *given], capture_output=True, check=False)
    assert stopped.returncode == -signal.SIGKILL
    kept = {path: path.stat().st_mtime_ns for path in (work / "chunks").iterdir()}
    assert len(kept) == 3 and not (work / "harm").exists()
    measured.measure(asked(model), work, work / "harm", workers=2)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept  # none was measured again
    assert rows_of(work) == rows_of(done)


def test_rows_say_what_a_whole_forward_says(model: Path, done: Path) -> None:
    rows, about = harms.read(done / "harm" / "harms.csv")
    kinds = [row.kind for row in rows]
    assert [kinds.count(kind) for kind in ("head", "layer", "pair")] == [2 * 12, 2 * 4, 2 * 6]
    assert list(about["clips"]) == builtin.names("train")[:2] and about["grid"] == [2, 8, 8] and about["dtype"] == "float32"
    network = load_model(model).model
    clip = take("builtin-train", Cut(frames=5, crop=(16, 16), clips=1))[0]
    dense = Dense(network, clip.lq)
    row = next(row for row in rows if row.kind == "pair" and row.clip == clip.name)
    letters = {"frame": "F", "window-4x4": "W"}
    table = [["G"] * 3 for _ in range(2)]
    for layer, head, name in zip(row.layers.split(","), row.heads.split(","), row.patterns.split(","), strict=True):
        table[int(layer)][int(head)] = letters[name]
    routed = load_model(model, _table(model, table)).model
    with torch.inference_mode():
        latents = routed.latents(dense.lq)
        clips = [((routed if one else network)(dense.lq)[0].transpose(0, 1) + 1) / 2 for one in (True, False)]
    assert row.latent_mse == pytest.approx(float((latents - dense.latents).double().square().mean()), rel=1e-3)
    assert row.pixel_mse == pytest.approx(float((clips[0] - clips[1]).double().square().mean()), rel=1e-3)
    assert row.psnr_to_dense == pytest.approx(-10 * np.log10(row.pixel_mse))
    gained = [quality(each, clip.hr) or 0.0 for each in clips]
    assert row.psnr_y_loss == pytest.approx(gained[1] - gained[0], abs=2e-3)


def _table(model: Path, letters: list[list[str]]) -> RoutingTable:
    from oasis.routing import FRAME, GLOBAL, window

    patterns = {"G": GLOBAL, "F": FRAME, "W": window(4, 4)}
    sha256 = load_model(model).weights_sha256
    return RoutingTable(model="little", weights_sha256=sha256, patterns=patterns, layers=tuple(map("".join, letters)))


def test_a_frontier_executes_what_load_model_routes_on_held_out_clips(model: Path, done: Path) -> None:
    found, about = frontiers.read(done / "frontier" / "frontier.csv")
    assert list(about["clips"]) == builtin.names("test")[:2] and about["decided_on"] == sorted(builtin.names("train")[:2])
    rows = pd.DataFrame(found)
    assert set(BUDGETS) < set(rows["arm"]) and {"uniform frame", "uniform window-4x4", "inverse KL"} < set(rows["arm"])
    stepped = rows[rows["ratio"].notna()]
    # The threshold's tau has steps, so it may end below; random arms cost what the budget over KL costs.
    assert (stepped["attention_flops_ratio"] <= stepped["ratio"] + 1e-9).all()
    costs = stepped.pivot_table(index="ratio", columns="arm", values="attention_flops_ratio")
    assert (costs[RANDOM] == costs["budget KL"]).all() and (costs["inverse KL"] == costs["budget KL"]).all()
    one = next(row for row in found if row.arm == "budget harm" and row.ratio == 0.6)
    routed = load_model(model, _table(model, [list(letters) for letters in one.layers.split("/")])).model
    dense = Dense(load_model(model).model, take("builtin-test", Cut(frames=5, crop=(16, 16), clips=1))[0].lq)
    with torch.inference_mode():
        latents = routed.latents(dense.lq)
    assert one.clip == builtin.names("test")[0]
    assert one.latent_mse == pytest.approx(float((latents - dense.latents).double().square().mean()), rel=1e-3)
    timed, _ = timings.read(done / "frontier" / "seconds.csv")
    assert timed[0].subject == "dense" and timed[0].ratio == 1 and len(timed) >= 4


def test_chapters_hold_findings_of_every_kind_and_their_files(done: Path) -> None:
    for name, words in (("harm", "Under one and the same pattern, KL orders heads"), ("frontier", f"budget KL minus {RANDOM}")):
        chapter = read_chapter(done / name)
        assert any(words in finding.text for finding in chapter.findings) and chapter.trained
        assert all((done / name / table.file).exists() for table in chapter.tables)
        assert not any(" nan" in finding.text for finding in chapter.findings)
    rows = pd.read_csv(done / "frontier" / "differences.csv")
    assert len(rows[rows["ratio"].isna()]) == 2 * len(fronts.PAIRS)


def test_a_second_run_measures_nothing(model: Path, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Store, "put", None)
    request = executed.Request(harms=done / "harm", model=str(model), cut=Cut(frames=5, crop=(16, 16), clips=2), seeds=2)
    executed.execute(request, done, tmp_path)
    assert (tmp_path / "frontier.csv").read_bytes() == (done / "frontier" / "frontier.csv").read_bytes()


def test_what_does_not_fit_is_one_sentence(model: Path, done: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    def said(*arguments: str) -> str:
        capsys.readouterr()
        assert main([*arguments, *HERE]) == 2
        return capsys.readouterr().err

    mine = ["--model", str(model)]
    new = str(tmp_path / "new")
    assert "a run with other pairs left this" in said("harm", str(done), *mine, *SIZE, "--pairs", "7")
    assert "allowed: each once, and not global" in said("harm", new, *mine, "--patterns", "frame,global")
    assert "frames are 0" in said("harm", new, *mine, "--frames", "0")
    assert "--crop is '16'" in said("harm", new, *mine, "--crop", "16")
    assert "seeds are 1" in said("frontier", str(done), *mine, "--seeds", "1")
    assert "harms.csv" in said("frontier", new, *mine)
    other = checkpoint(tmp_path / "other", layers=2, heads=3, seed=1)
    assert "its harms are of weights" in said("frontier", str(done), "--model", str(other))
    same = builtin.names("train")
    monkeypatch.setattr(builtin, "names", lambda split=None: same)
    assert "is one that the harms were measured on" in said("frontier", new, "--harms", str(done / "harm"), *mine)


def test_clips_of_a_user_have_no_ground_truth_and_cannot_judge_themselves(model: Path, tmp_path: Path) -> None:
    for folder, seed in (("decide", 1), ("judge", 2)):
        (tmp_path / folder).mkdir()
        video.write(tmp_path / folder / "clip.mkv", iter(moving(5, 16, 16, seed=seed)), video.FPS)
    cut = Cut(frames=5, crop=(16, 16))
    request = measured.Request(model=str(model), data=str(tmp_path / "decide"), patterns=("window-4x4",), cut=cut, pairs=2)
    measured.measure(request, tmp_path / "work", tmp_path / "harm")
    known = predict.read(tmp_path / "harm")
    assert known.clips == ("clip",) and set(known.harms) == {"latent_mse", "pixel_mse"}
    judged = executed.Request(harms=tmp_path / "harm", model=str(model), data=str(tmp_path / "judge"), cut=cut, seeds=2)
    executed.execute(judged, tmp_path / "work", tmp_path / "frontier")
    rows, about = frontiers.read(tmp_path / "frontier" / "frontier.csv")
    assert {row.psnr_y for row in rows} == {None} and about["decided_on"] == ["clip"] == list(about["clips"])
    with pytest.raises(ValueError, match="is one that the harms were measured on"):
        executed.execute(dataclasses.replace(judged, data=request.data), tmp_path / "work", tmp_path / "frontier")
    with pytest.raises(ValueError, match=r"frame covers the whole token grid 1x8x8"):
        measured.measure(dataclasses.replace(request, patterns=("frame",), cut=Cut(frames=1)), tmp_path, tmp_path)


def test_damage_is_told(model: Path, done: Path, tmp_path: Path, capsys) -> None:
    work = tmp_path / "work"
    Store(work / "chunks").put("000-000", {})
    (work / "chunks" / "000-000.json").write_text('{"harms": [')
    assert main(["harm", str(work), "--model", str(model), *SIZE, *HERE]) == 2
    assert "damaged" in capsys.readouterr().err
    assert json.loads((done / "request.json").read_text())["pairs"] == 6
