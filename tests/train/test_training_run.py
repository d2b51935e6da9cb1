import csv
import json
import os
import resource
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from oasis import files, video
from oasis.cli import main
from oasis.data import builtin
from oasis.model import load_model
from oasis.train import clips, record, state
from oasis.train.corpus import Clips, CropSize
from oasis.train.run import Settings, run

SIZE = {"batch": 2, "frames": 5, "height": 32, "width": 32}
STAGE = {
    "name": "pixel",
    "trains": "transformer",
    "steps": 3,
    "learning_rate": 1e-4,
    "sizes": [SIZE],
    "losses": {"latent": 1.0, "pixel": 1.0, "perceptual": 0.1},
    "warmup": 1,
    "accumulate": 1,
}


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    frames = np.random.default_rng(0).integers(0, 256, (6, 40, 40, 3), dtype=np.uint8)
    from oasis.train import shards

    shards.write(tmp_path / "shards", Clips({"noise": frames}, "moderate"), [CropSize(**SIZE)], 4, seed=0)
    return tmp_path / "shards"


def plan(tmp_path: Path, **change: Any) -> Path:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps([STAGE | change]))
    return path


def settings(tmp_path: Path, shards: Path, **other: Any) -> Settings:
    return Settings(**({"preset": "tiny", "shards": shards, "stages": plan(tmp_path), "start": "tiny"} | other))


def video_file(path: Path, *, frames: int = 6, side: int = 48, fps: Fraction = Fraction(25)) -> Path:
    pictures = np.random.default_rng(1).integers(0, 256, (frames, 3, side, side), dtype=np.uint8)
    video.write(path, iter(torch.from_numpy(pictures)), fps)
    return path


def test_a_trained_model_goes_on_dense_or_routed_and_says_how(tmp_path: Path, shards: Path) -> None:
    dense = run(settings(tmp_path, shards), tmp_path / "dense")
    table = Path(clips.__file__).parents[1] / "assets" / "tiny" / "routing.json"
    routed = run(settings(tmp_path, shards, routing=table), tmp_path / "routed")
    assert {pattern.name for layer in dense.dit.patterns for pattern in layer} == {"global"}
    assert len({pattern.name for layer in routed.dit.patterns for pattern in layer}) == 3
    said = record.read(tmp_path / "routed")["settings"]
    assert said["stages"][0]["losses"] == STAGE["losses"] and len(said["routing"]) == 64
    assert said["crops"]["counts"] == {"5x32x32": 4} and said["schedule"]["name"] == "progressive" and said["seed"] == 2026


def test_a_start_is_known_by_its_weights_also_beside_a_folder_of_its_name(
    tmp_path: Path, shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tiny").mkdir()
    monkeypatch.chdir(tmp_path)
    run(settings(tmp_path, shards), Path("out"))
    assert record.read(tmp_path / "out")["settings"]["start"] == load_model("tiny").weights_sha256
    with pytest.raises(ValueError, match="model 'huge' is unknown"):
        run(settings(tmp_path, shards, start="huge"), Path("other"))


def test_a_folder_in_which_another_run_trains_is_refused(tmp_path: Path, shards: Path) -> None:
    (tmp_path / "out").mkdir()
    with files.alone(tmp_path / "out"), pytest.raises(ValueError, match="another program is writing here"):
        run(settings(tmp_path, shards), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".lock"]


def test_a_stage_may_follow_the_motion_of_clips(tmp_path: Path, shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "moved").mkdir()  # `settings` writes a plan of its own
    stages = plan(tmp_path / "moved", losses={"pixel": 1.0, "warped": 0.5})
    with pytest.raises(ValueError, match="these shards hold no motion, which the loss 'warped' needs"):
        run(settings(tmp_path, shards, stages=stages), tmp_path / "out")
    clip = builtin.make("china-pan", frames=7, height=40, width=60)
    monkeypatch.setattr("oasis.train.clips.builtin_clips", lambda: iter([("clip", clip)]))
    assert main(["shards", str(tmp_path / "moving"), "--stages", str(stages), "--crops", "3"]) == 0
    run(settings(tmp_path, tmp_path / "moving", stages=stages), tmp_path / "out")
    run(settings(tmp_path, None, stages=stages), tmp_path / "fly")
    for folder in ("out", "fly"):
        (first, *_) = csv.DictReader((tmp_path / folder / "log.csv").open())
        assert float(first["loss"]) == pytest.approx(float(first["pixel"]) + 0.5 * float(first["warped"]), rel=1e-4)


def test_motion_of_other_videos_needs_raft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "videos").mkdir()
    video_file(tmp_path / "videos" / "noise.mkv")
    monkeypatch.setenv("OASIS_WEIGHTS", str(tmp_path))
    monkeypatch.setattr("oasis.train.clips.builtin_clips", lambda: iter(()))
    stages = str(plan(tmp_path, losses={"warped": 1.0}))
    assert main(["train", str(tmp_path / "out"), "--videos", str(tmp_path / "videos"), "--stages", stages]) == 2
    assert "raft_large_torchvision" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_folder_of_another_run_is_refused(tmp_path: Path, shards: Path) -> None:
    run(settings(tmp_path, shards), tmp_path / "out")
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir() if path.is_file()}
    (tmp_path / "other").mkdir()
    longer = plan(tmp_path / "other", steps=4)
    for change, name in (({"seed": 1}, "seed"), ({"stages": longer}, "stages"), ({"bf16": True}, "bf16")):
        with pytest.raises(ValueError, match=rf"run\.json: the run in this folder has {name} = "):
            run(settings(tmp_path, shards, **change), tmp_path / "out")
    assert all(path.read_bytes() == content for path, content in before.items())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--stages", "plan.json"], "field 'losses' has 'vgg'; allowed: latent, pixel, gradient, frames, warped, perceptual"),
        (["--shards", "none"], "none: no shards.json"),
        (["--shards", "shards", "--videos", "videos"], "--shards and --videos exclude each other"),
        (["--videos", "none"], "none: no such folder"),
        (["--videos", "empty"], "empty: no videos"),
        (["--videos", "slow"], "slow.mkv: 2 frames per second; allowed for training: 8 to 240"),
        (["--videos", "cut"], "cut.mkv: "),
        (["--routing", "routing.json"], "--routing needs --start"),
        (["--start", "tiny", "--vae", "vae.safetensors"], "--start and --backbone or --vae exclude each other"),
        (["--start", "nobody", "--shards", "shards", "--stages", "good.json"], "model 'nobody' is unknown"),
        (["--features", "none.pth", "--shards", "shards", "--stages", "good.json"], "none.pth"),
        (["--preset", "huge"], "invalid choice: 'huge'"),
        (["--schedule", "sudden"], "invalid choice: 'sudden'"),
    ],
)
def test_bad_input_is_one_sentence(
    tmp_path: Path, shards: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, options: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("empty", "slow", "cut", "videos"):
        (tmp_path / name).mkdir()
    video_file(tmp_path / "slow" / "slow.mkv", fps=Fraction(2))
    whole = video_file(tmp_path / "cut" / "cut.mkv").read_bytes()
    (tmp_path / "cut" / "cut.mkv").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "good.json").write_text(json.dumps([STAGE]))
    plan(tmp_path, losses={"vgg": 1.0})
    monkeypatch.setattr("oasis.train.clips.builtin_clips", lambda: iter(()))
    assert main(["train", "out", *options]) == 2
    captured = capsys.readouterr().err
    assert captured.startswith("error: ") and captured.count("\n") == 1 and said in captured
    assert not (tmp_path / "out" / "model").exists()


def test_a_model_of_another_preset_is_refused(tmp_path: Path, shards: Path) -> None:
    with pytest.raises(ValueError, match="--start tiny is oasis-tiny, but the preset trains oasis-wan-cut"):
        run(settings(tmp_path, shards, preset="wan-cut"), tmp_path / "out")


def test_crops_of_a_folder_are_cut_by_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "videos").mkdir()
    path = video_file(tmp_path / "videos" / "noise.mkv")
    monkeypatch.setattr("oasis.train.clips.builtin_clips", lambda: iter(()))
    options = ["--videos", str(tmp_path / "videos"), "--stages", str(plan(tmp_path)), "--crops", "3"]
    assert main(["shards", str(tmp_path / "made"), *options]) == 0
    index = json.loads((tmp_path / "made" / "shards.json").read_text())
    assert index["counts"] == {"5x32x32": 3} and index["videos"] == {"noise.mkv": files.sha256(path)}
    whole = video.read(path).frames.numpy().transpose(0, 2, 3, 1)
    hr = np.load(tmp_path / "made" / "hr-5x32x32.npy")[0]
    places = [(t, y, x) for t in range(2) for y in range(17) for x in range(17)]
    cuts = (whole[t : t + 5, y : y + 32, x : x + 32] for t, y, x in places)
    assert any(np.array_equal(hr, cut[::a, :, ::b]) for cut in cuts for a in (1, -1) for b in (1, -1))


SHARDED = """
import os, sys
from pathlib import Path
from oasis.model.checkpoint import save
from oasis.train.run import Settings, run
folder = Path(sys.argv[1])
model = run(
    Settings(preset="tiny", shards=folder / "shards", stages=folder / "plan.json", start="tiny", parallel=sys.argv[2]),
    folder / sys.argv[2],
)
if os.environ["RANK"] == "0":
    save(model, folder / sys.argv[2] / "model", trained=True)
"""


def test_what_sharded_processes_trained_can_be_saved(tmp_path: Path, shards: Path) -> None:
    plan(tmp_path, losses={"latent": 1.0})
    for parallel in ("fsdp", "ddp"):
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--no-python"]
        done = subprocess.run(
            [*command, sys.executable, "-c", SHARDED, str(tmp_path), parallel],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr[-2000:]
    sharded, replicated = (load_model(tmp_path / name / "model").model.state_dict() for name in ("fsdp", "ddp"))
    started = load_model("tiny").model.state_dict()
    for name, tensor in sharded.items():
        torch.testing.assert_close(
            tensor, replicated[name], rtol=0, atol=3 * 15 * 1e-4
        )  # three steps, gains at 15 times the rate
    assert any(not torch.equal(tensor, started[name]) for name, tensor in sharded.items())


def test_a_clip_too_small_for_a_crop_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "videos").mkdir()
    video_file(tmp_path / "videos" / "small.mkv", frames=3)
    monkeypatch.setattr("oasis.train.clips.builtin_clips", lambda: iter(()))
    with pytest.raises(
        ValueError, match=r"training clip .*small\.mkv has 3 frames of 48x48 pixels; a crop needs 5 frames of 32x32"
    ):
        run(Settings(preset="tiny", videos=tmp_path / "videos", stages=plan(tmp_path), start="tiny"), tmp_path / "out")


SCRIPT = """
import sys
from pathlib import Path
from oasis.train import loop
from oasis.train.run import Settings, run
loop.SAVE_SECONDS = 0.0
folder, out = Path(sys.argv[1]), Path(sys.argv[2])
run(Settings(preset="tiny", shards=folder / "shards", stages=folder / "plan.json", start="tiny"), out)
"""


def launch(tmp_path: Path, out: str, **other: Any) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path), str(tmp_path / out)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
        **other,
    )


def test_killed_runs_lose_no_state_and_end_where_an_uninterrupted_one_does(tmp_path: Path, shards: Path) -> None:
    plan(tmp_path, steps=12)
    assert launch(tmp_path, "whole").wait() == 0
    for _ in range(3):
        process = launch(tmp_path, "killed")
        seen = state.load(tmp_path / "killed")
        reached = seen.step if seen else 0
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            now = state.load(tmp_path / "killed")  # whole at every moment
            if now is not None and (now.stage, now.step) >= (0, reached + 2):
                break
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert launch(tmp_path, "killed").wait() == 0
    whole, killed = (state.load(tmp_path / name) for name in ("whole", "killed"))
    assert whole is not None and killed is not None and killed.stage == 1
    assert all(torch.equal(tensor, killed.model[name]) for name, tensor in whole.model.items())
    with open(tmp_path / "killed" / "log.csv", newline="") as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["0", "10"]


def test_a_full_disk_keeps_the_state_before(tmp_path: Path, shards: Path) -> None:
    run(settings(tmp_path, shards), tmp_path / "out")
    kept = state.load(tmp_path / "out")
    assert kept is not None

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))

    code = (
        "import sys; from pathlib import Path; from oasis.train import state\n"
        "folder = Path(sys.argv[1]); whole = state.load(folder)\n"
        "try: state.save(folder, whole)\n"
        "except OSError as error: sys.exit(str(error))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "out")], preexec_fn=limit, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and "state.pt" in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".state")]
    after = state.load(tmp_path / "out")
    assert after is not None and all(torch.equal(tensor, after.model[name]) for name, tensor in kept.model.items())


def test_a_damaged_state_is_refused(tmp_path: Path, shards: Path) -> None:
    run(settings(tmp_path, shards), tmp_path / "out")
    path = tmp_path / "out" / state.FILE
    whole = path.read_bytes()
    for content in (b"", whole[: len(whole) // 2], b"not a state"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"state\.pt: not the state of a training run, or damaged"):
            run(settings(tmp_path, shards), tmp_path / "out")


def test_tensorboard_has_the_curves(tmp_path: Path, shards: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run(settings(tmp_path, shards), tmp_path / "out")
    events = EventAccumulator(str(tmp_path / "out" / "tensorboard")).Reload()
    assert {"pixel/loss", "pixel/latent", "pixel/learning_rate", "pixel/inconsistent"} <= set(events.Tags()["scalars"])
