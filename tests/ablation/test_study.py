"""An ablation through its real path: the trained tiny network, one clip, few frames, one step."""

import functools
import json
from pathlib import Path

import pytest

from oasis import ablations
from oasis.ablation import arms, judged
from oasis.cli import main
from oasis.data import builtin
from oasis.model import load_model
from oasis.suite import judging
from oasis.train import shards
from oasis.train.corpus import Clips, CropSize

SIZE = {"batch": 2, "frames": 5, "height": 32, "width": 32}
STAGE = {
    "name": "pixel",
    "trains": "all",
    "steps": 2,
    "learning_rate": 1e-3,
    "sizes": [SIZE],
    "losses": {"pixel": 1.0},
    "warmup": 0,
    "accumulate": 1,
}
OPTIONS = ["--clips", "1", "--frames", "5", "--seeds", "1", "--workers", "1"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    clip = builtin.make("coffee-turn", frames=6, height=64, width=64)
    shards.write(tmp_path / "shards", Clips({clip.name: clip.hr}, "moderate"), [CropSize(**SIZE)], 40, seed=0)
    (tmp_path / "plan.json").write_text(json.dumps([STAGE]))
    monkeypatch.setattr(judging, "METRICS", "psnr@y,ssim@y,ewarp@true-flow-x1000")  # the last not with some frames of a clip
    monkeypatch.setattr(judged, "ROUNDS", 1)
    monkeypatch.setattr(builtin, "make", functools.cache(builtin.make))
    return tmp_path


def ablate(place: Path, study: str, *options: str) -> int:
    given = ["--shards", str(place / "shards"), "--stages", str(place / "plan.json"), *OPTIONS]
    return main(["ablate", study, str(place / "work"), *given, *options])


def test_routings_are_scored_before_and_after_training(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    every = arms.routings
    monkeypatch.setattr(arms, "routings", lambda path: [a for a in every(path) if a.name in ("dense", "uniform-frame")])
    assert ablate(place, "routing") == 0
    rows, about = ablations.read(place / "work" / "routing.csv")
    assert [(row.arm, row.seed, row.measure) for row in rows] == [
        (arm, seed, measure) for seed in (None, 0) for arm in ("dense", "uniform-frame") for measure in ("psnr@y", "ssim@y")
    ]
    dense, frame, dense_after, frame_after = rows[::2]
    assert frame.attention_flops_ratio == 0.5 and (frame.seconds_ratio or 0) > 0 and dense.seconds_ratio == 1
    assert dense.kl_total == 0 and frame.kl_total > 0 and frame.kl_total != frame_after.kl_total
    assert len({row.value for row in (dense, frame, dense_after, frame_after)}) == 4
    assert about["judged_on"] == ["chelsea-zoom"] and about["profiled_on"] == ["astronaut-zoom"]
    trained = load_model(place / "work" / "trained" / "uniform-frame-seed-0" / "model")
    assert trained.trained and trained.weights_sha256 != load_model("tiny").weights_sha256
    printed = capsys.readouterr().out
    assert str(place / "work" / "routing-kl.png") in printed and "no rows of ewarp@true-flow-x1000: chelsea-zoom" in printed

    before = (place / "work" / "routing.csv").read_bytes()
    assert ablate(place, "routing") == 0
    assert (place / "work" / "routing.csv").read_bytes() == before
    assert ablate(place, "schedule") == 2
    assert "an ablation with other study left this" in capsys.readouterr().err


def test_schedules_start_anew_and_meet_both_kinds_of_clips(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    every = arms.schedules
    monkeypatch.setattr(arms, "schedules", lambda: [a for a in every() if a.name in ("constant", "reversed")])
    assert ablate(place, "schedule", "--precision", "bf16", "--out", str(place / "rows.csv")) == 0
    rows, about = ablations.read(place / "rows.csv")
    assert [(row.arm, row.lq, row.seed) for row in rows[::2]] == [
        (arm, lq, 0) for arm in ("constant", "reversed") for lq in ("standard", "standard-inconsistent")
    ]
    assert rows[0].value != rows[2].value and {row.steps for row in rows} == {2}
    assert (
        about["trained_in_bf16"]
        and json.loads((place / "work/trained/reversed-seed-0/run.json").read_text())["settings"]["bf16"]
    )
    assert (place / "rows-standard-inconsistent.svg").exists()


@pytest.mark.parametrize(
    ("option", "said"), [("--seeds", "seeds is 0"), ("--clips", "clips is 0"), ("--frames", "frames is 0")]
)
def test_bad_requests_are_one_sentence(place: Path, capsys: pytest.CaptureFixture, option: str, said: str) -> None:
    assert ablate(place, "routing", option, "0") == 2
    assert said in capsys.readouterr().err and not (place / "work").exists()
