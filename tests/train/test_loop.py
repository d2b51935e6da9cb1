import csv
import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from oasis.configs import TINY
from oasis.model.oasis import Oasis
from oasis.train import loop
from oasis.train.corpus import CropSize
from oasis.train.losses import charbonnier, frame_difference_loss, gradient_loss, latent_loss
from oasis.train.stages import Stage

CONFIG = dataclasses.replace(
    TINY,
    dit=dataclasses.replace(TINY.dit, dim=24, heads=2, layers=1, ffn_dim=32),
    vae=dataclasses.replace(TINY.vae, width=8, blocks=1),
)
SIZE = (CropSize(batch=1, frames=5, height=32, width=32),)
STAGES = (
    Stage(name="decoder", steps=3, learning_rate=1e-3, sizes=SIZE, warmup=1),
    Stage(name="latent", steps=4, learning_rate=1e-3, sizes=SIZE, warmup=1),
    Stage(name="pixel", steps=3, learning_rate=1e-3, sizes=SIZE, warmup=1),
)


@pytest.fixture
def clips() -> list[np.ndarray]:
    return [np.random.default_rng(0).integers(0, 256, (6, 40, 40, 3), dtype=np.uint8)]


@pytest.fixture(autouse=True)
def _no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        loop.Corpus, "loader", lambda corpus: iter(corpus)
    )  # a process per stage would cost more than the steps


def fresh() -> Oasis:
    torch.manual_seed(0)
    model = Oasis(CONFIG)
    model.vae.basis.normal_(std=0.05)
    return model


def run(folder: Path, clips: list[np.ndarray], stages: tuple[Stage, ...] = STAGES) -> dict[str, torch.Tensor]:
    return loop.train(fresh(), clips, stages, folder, seed=1).state_dict()


def test_each_stage_trains_its_part_alone(tmp_path: Path, clips: list[np.ndarray]) -> None:
    before = fresh().state_dict()
    after_decoder = run(tmp_path / "a", clips, STAGES[:1])
    after_latent = run(tmp_path / "b", clips, STAGES[1:2])
    changed = {name for name in before if not torch.equal(before[name], after_decoder[name])}
    assert changed and all(name.startswith("vae.") for name in changed)
    changed = {name for name in before if not torch.equal(before[name], after_latent[name])}
    assert changed and all(name.startswith(("dit.", "prompt")) for name in changed)


def test_a_stopped_run_continues_bit_identically(
    tmp_path: Path, clips: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(tmp_path / "whole", clips)

    monkeypatch.setattr(loop, "SAVE_SECONDS", 0.0)
    for stage in ("decoder", "latent"):
        original, calls = loop._LOSSES[stage], []

        def stops_at_the_third_step(*args, original=original, calls=calls):  # type: ignore[no-untyped-def]
            calls.append(1)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return original(*args)

        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setitem(loop._LOSSES, stage, stops_at_the_third_step)
            run(tmp_path / "stopped", clips)
    resumed = run(tmp_path / "stopped", clips)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    with open(tmp_path / "stopped" / "log.csv") as log:
        assert {row["stage"] for row in csv.DictReader(log)} == {"decoder", "latent", "pixel"}


def test_a_loss_that_is_not_finite_stops_the_run(
    tmp_path: Path, clips: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(loop._LOSSES, "latent", lambda *_: (torch.tensor(torch.nan, requires_grad=True), {}))
    with pytest.raises(ValueError, match="stage latent, step 0: the loss is nan"):
        run(tmp_path, clips)
    assert loop._load_state(tmp_path / "state.pt")["stage"] == 1


def test_learning_rate_warms_up_and_falls_to_a_tenth() -> None:
    stage = dataclasses.replace(STAGES[0], steps=100, warmup=10)
    rates = [loop.rate(step, stage) for step in range(101)]
    assert rates[0] == pytest.approx(0.1) and max(rates) == rates[10] == pytest.approx(1)
    assert rates[100] == pytest.approx(0.1)
    assert all(a > b for a, b in itertools.pairwise(rates[10:]))


def test_losses_on_cases_worked_by_hand() -> None:
    zero, one = torch.zeros(1, 3, 2, 2, 2), torch.ones(1, 3, 2, 2, 2)
    assert charbonnier(zero, one).item() == pytest.approx(1, abs=1e-6)
    assert gradient_loss(zero, one).item() == pytest.approx(2e-3, abs=1e-6)  # a constant has no edges: only eps is left
    assert frame_difference_loss(zero, one).item() == pytest.approx(1e-3, abs=1e-6)
    flicker = zero.clone()
    flicker[:, :, 1] = 2
    assert frame_difference_loss(flicker, zero).item() == pytest.approx(2, abs=1e-6)
    weighted = latent_loss(torch.tensor([1.0, 2.0]).view(1, 2, 1, 1, 1), torch.zeros(1, 2, 1, 1, 1), torch.tensor([3.0, 1.0]))
    assert weighted.item() == pytest.approx((1 * 1.5 + 4 * 0.5) / 2)
