"""The main job on a network of a few thousand weights: the same bytes every time, and small cases that must work."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import torch
from little import checkpoint, moving

from oasis import files, profiling, video
from oasis.decide import read_heads
from oasis.heads import COLUMNS
from oasis.profiling import Request, profile, typical_heads
from oasis.routing import RoutingTable

WRITTEN = ("heads.csv", "looks.npz", "profiles.csv", "routing.json", "run.json")
BANNER = "UNTRAINED WEIGHTS: these numbers say nothing about a trained model"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return checkpoint(tmp_path_factory.mktemp("model") / "little", trained=False)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    for seed, name in enumerate(("a.mkv", "b.mkv")):
        video.write(folder / name, moving(5, 16, 16, seed=seed), 25)
    return folder


@pytest.fixture(scope="module")
def finished(model, clips, tmp_path_factory):
    """A whole run, page included."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    profile(Request(model=str(model), data=str(clips), patterns=("frame", "window-4x4"), command="oasis profile ..."), out)
    return out


@pytest.fixture
def no_page(monkeypatch):
    """Leave out the pictures, which take most of the time."""
    monkeypatch.setattr(profiling.page, "write_page", lambda folder: [])


def test_two_runs_write_the_same_bytes(finished, model, clips, tmp_path, no_page):
    table = profile(Request(model=str(model), data=str(clips), patterns=("frame", "window-4x4")), tmp_path / "again")
    for name in ("heads.csv", "routing.json", "profiles.csv", "looks.npz"):
        assert (tmp_path / "again" / name).read_bytes() == (finished / name).read_bytes(), name
    assert table == RoutingTable.load(finished / "routing.json")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again"]  # no temporary beside it


def test_a_run_holds_all_its_files(finished):
    names = {path.name for path in finished.iterdir()}
    assert {*WRITTEN, "index.html", "kl-frame.png", "kl-window-4x4.svg", "looks.png"} <= names
    heads = read_heads(finished / "heads.csv")
    assert tuple(heads.columns) == COLUMNS and len(heads) == 2 * 2 * 2 * 2  # clips, layers, heads, patterns
    assert set(heads["clip"]) == {"a", "b"} and set(heads["pattern"]) == {"frame", "window-4x4"}
    assert tuple(heads.loc[0, ["T", "H", "W"]]) == (2, 8, 8) and set(heads["queries"]) == {128}
    assert heads["kl_mean"].gt(0).all() and heads["kl_rel"].nunique() == len(heads)
    assert set(heads["model"]) == {"little"} and set(heads["backend"]) == {"folded"}
    with np.load(finished / "looks.npz") as looks:
        np.testing.assert_allclose(looks["attention"].sum(axis=(1, 2, 3)), 1, rtol=1e-5)
        assert looks["frames"].shape == (2, 64, 64, 3) and looks["attention"].shape[1:] == (2, 8, 8)


def test_the_table_belongs_to_the_statistics_and_the_weights(finished, model):
    table = RoutingTable.load(finished / "routing.json")
    assert table.probe["heads_csv_sha256"] == files.sha256(finished / "heads.csv")
    assert table.weights_sha256 == files.sha256(model / "model.safetensors")
    assert table.rule["name"] == "budget" and table.rule["attention_flops_ratio"] <= 0.5


def test_the_page_of_random_weights_says_so_first(finished):
    body = (finished / "index.html").read_text().partition("<body>")[2]
    shown = [line.strip() for line in re.sub(r"<[^>]*>", "\n", body).splitlines() if line.strip()]
    assert shown[0] == BANNER


def test_the_record_says_how_it_was_made(finished, model, clips):
    record = json.loads((finished / "run.json").read_text())
    assert record["trained"] is False and record["model"] == "little"
    assert record["weights_sha256"] == files.sha256(model / "model.safetensors")
    assert record["data"] == str(clips) and record["clips"] == {"a": [5, 3, 16, 16], "b": [5, 3, 16, 16]}
    assert record["rule"] == "budget:ratio=0.5" and record["patterns"] == ["frame", "window-4x4"]
    assert record["backend"] == "folded" and record["device"].startswith("CPU (") and record["threads"] >= 1
    assert record["seconds"] > 0 and record["command"] == "oasis profile ..."
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", record["finished"])
    assert torch.__version__.startswith(record["versions"]["torch"])
    assert {"oasis", "python", "numpy", "pandas"} <= set(record["versions"])


def test_a_checkpoint_says_whether_it_was_trained(clips, tmp_path, no_page):
    model = checkpoint(tmp_path / "model")
    profile(Request(model=str(model), data=str(clips / "a.mkv"), patterns=("frame",)), tmp_path / "run")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["trained"] is True


def test_one_head_one_frame_one_pixel(tmp_path):
    model = checkpoint(tmp_path / "model", layers=1, heads=1)
    video.write(tmp_path / "dot", moving(1, 1, 1), 25)
    table = profile(Request(model=str(model), data=str(tmp_path / "dot")), tmp_path / "run")
    heads = read_heads(tmp_path / "run" / "heads.csv")
    assert tuple(heads.loc[0, ["T", "H", "W"]]) == (1, 1, 1)
    assert heads[["kl_mean", "kl_rel", "out_err", "entropy_mean", "dist_t", "dist_xy"]].to_numpy() == pytest.approx(0, abs=1e-6)
    assert table.layers == ("G",) and table.rule["attention_flops_ratio"] <= 1
    assert (tmp_path / "run" / "index.html").stat().st_size > 0


def test_one_frame_is_measured(model, clips, tmp_path, no_page):
    request = Request(model=str(model), data=str(clips), frames=1, crop=(12, 14), patterns=("window-4x4", "frame"))
    profile(request, tmp_path / "run")
    heads = read_heads(tmp_path / "run" / "heads.csv")
    assert tuple(heads.loc[0, ["T", "H", "W"]]) == (1, 6, 7)
    # One frame is all frames: the frame pattern takes nothing away.
    assert heads.loc[heads["pattern"] == "frame", "kl_mean"].abs().max() < 1e-5
    assert heads.loc[heads["pattern"] == "window-4x4", "kl_mean"].min() > 1e-3


def test_a_run_replaces_one_of_the_same_name_and_leaves_other_files(model, clips, tmp_path, no_page):
    out = tmp_path / "run"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    (out / "heads.csv").write_text("old")
    profile(Request(model=str(model), data=str(clips / "a.mkv"), patterns=("frame",)), out)
    assert sorted(path.name for path in out.iterdir()) == sorted([*WRITTEN, "notes.txt"])
    assert len(read_heads(out / "heads.csv")) == 4 and (out / "notes.txt").read_text() == "mine"


def test_a_clip_is_cut_in_the_middle():
    frames = torch.arange(9 * 3 * 6 * 7, dtype=torch.int64).remainder(256).to(torch.uint8).view(9, 3, 6, 7)
    cut = profiling.centre(frames, Request(frames=4, crop=(2, 3)))
    assert torch.equal(cut, frames[:4, :, 2:4, 2:5])
    assert torch.equal(profiling.centre(frames, Request()), frames)


def statistics(rows):
    """`rows`: kl_rel by (layer, head, pattern), one clip each."""
    return pd.DataFrame(
        [(*key, "clip", value) for key, value in rows.items()], columns=["layer", "head", "pattern", "clip", "kl_rel"]
    )


def test_typical_heads_are_the_extremes():
    values = {(0, 0): (0.9, 0.8), (0, 1): (0.1, 0.9), (1, 0): (0.7, 0.2), (1, 1): (0.6, 1.1)}
    rows = {
        (*head, name): value for head, pair in values.items() for name, value in zip(("frame", "window-8x8"), pair, strict=True)
    }
    found = typical_heads(statistics(rows))
    assert found == {"most global": (0, 0), "most intra-frame": (0, 1), "most local": (1, 0)}
    assert list(found) == ["most global", "most intra-frame", "most local"]


@pytest.mark.parametrize(
    ("heads", "patterns", "labels"),
    [
        (1, ("frame", "window-8x8"), ["most local"]),
        (2, ("frame", "window-8x8"), ["most intra-frame", "most local"]),
        (1, ("frame",), ["most intra-frame"]),
        (2, ("window-8x8", "window-4x4"), ["most global", "most local"]),
    ],
)
def test_no_head_is_typical_twice(heads, patterns, labels):
    rows = {(0, head, pattern): 0.5 + 0.1 * head for head in range(heads) for pattern in patterns}
    found = typical_heads(statistics(rows))
    assert list(found) == labels and len(set(found.values())) == len(found)
