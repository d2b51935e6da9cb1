import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from oasis.train import state

SCRIPT = """
import dataclasses, sys
from pathlib import Path
import numpy as np, torch
from oasis.configs import TINY
from oasis.model.oasis import Oasis
from oasis.train import log, loop
from oasis.train.corpus import Clips, CropSize
from oasis.train.parallel import processes
from oasis.train.schedule import SCHEDULES
from oasis.train.stages import Stage

folder, parallel, kill = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
config = dataclasses.replace(
    TINY,
    dit=dataclasses.replace(TINY.dit, dim=24, heads=2, layers=2, ffn_dim=32),
    vae=dataclasses.replace(TINY.vae, width=8, blocks=1),
)
size = (CropSize(batch=4, frames=5, height=32, width=32),)
about = dict(steps=6, learning_rate=1e-3, sizes=size, warmup=1)
stages = [
    Stage(name="latent", trains="transformer", losses={"latent": 1.0}, accumulate=2, **about),
    Stage(name="pixel", trains="transformer", losses={"pixel": 1.0, "frames": 0.25}, **about),
]
if parallel == "ddp":
    stages.insert(0, Stage(name="decoder", trains="decoder", losses={"pixel": 1.0}, **about))
clips = Clips({"noise": np.random.default_rng(0).integers(0, 256, (6, 40, 40, 3), dtype=np.uint8)}, "moderate")
torch.manual_seed(0)
model = Oasis(config)
model.vae.basis.normal_(std=0.05)
loop.SAVE_SECONDS, log.EVERY = 0.0, 1
if kill:
    original, steps = loop._Trainer._step, []
    def step(self, *args):
        steps.append(1)
        if len(steps) == kill:
            raise SystemExit("stopped")
        return original(self, *args)
    loop._Trainer._step = step
with processes("cpu", parallel) as own:
    run = loop.Run(
        source=clips, schedule=SCHEDULES["constant"], stages=tuple(stages), folder=folder, seed=1, processes=own
    )
    loop.train(model, run)
"""


def launch(tmp_path: Path, name: str, processes: int, parallel: str, kill: int = 0) -> Path:
    script, folder = tmp_path / "script.py", tmp_path / name
    script.write_text(SCRIPT)
    command = [sys.executable]
    if processes > 1:
        command += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    done = subprocess.run(
        [*command, str(script), str(folder), parallel, str(kill)],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=300,
    )
    assert (done.returncode == 0) == (kill == 0), done.stderr[-2000:]
    return folder


def curve(folder: Path) -> list[tuple[float, float]]:
    with open(folder / "log.csv", newline="") as file:
        return [(float(row["loss"]), float(row["norm"])) for row in csv.DictReader(file)]


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_processes_train_as_one_with_the_same_global_batch(tmp_path: Path, parallel: str) -> None:
    one, two = (launch(tmp_path, f"{count}", count, parallel) for count in (1, 2))
    assert len(curve(one)) == (18 if parallel == "ddp" else 12)
    for alone, shared in zip(curve(one), curve(two), strict=True):  # not the weights: Adam turns rounding into steps
        assert shared == pytest.approx(alone, rel=1e-3)


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_processes_resume_bit_identically(tmp_path: Path, parallel: str) -> None:
    whole = launch(tmp_path, "whole", 2, parallel)
    launch(tmp_path, "stopped", 2, parallel, kill=9)
    stopped = state.load(tmp_path / "stopped")
    assert stopped.step == 2
    resumed = launch(tmp_path, "stopped", 2, parallel)
    ours, theirs = (state.load(folder).model for folder in (whole, resumed))
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())
