import csv
import dataclasses
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from oasis.configs import TINY
from oasis.model.oasis import Oasis
from oasis.train import loop, state
from oasis.train.corpus import Clips, Corpus, CropSize
from oasis.train.losses import charbonnier, frame_difference_loss, gradient_loss, latent_loss
from oasis.train.objective import Objective
from oasis.train.schedule import SCHEDULES
from oasis.train.stages import Stage
from oasis.train.watch import Watch

CONFIG = dataclasses.replace(
    TINY,
    dit=dataclasses.replace(TINY.dit, dim=24, heads=2, layers=1, ffn_dim=32),
    vae=dataclasses.replace(TINY.vae, width=8, blocks=1),
)
SIZE = (CropSize(batch=2, frames=5, height=32, width=32),)
PIXELS = {"pixel": 1.0, "gradient": 0.25, "frames": 0.25}


def stage(name: str, trains: str, losses: dict[str, float], **other: object) -> Stage:
    values = {"steps": 4, "learning_rate": 1e-3, "sizes": SIZE, "warmup": 1} | other
    return Stage(name=name, trains=trains, losses=losses, **values)  # type: ignore[arg-type]


STAGES = (
    stage("decoder", "decoder", {"pixel": 1.0}),
    stage("latent", "transformer", {"latent": 1.0}),
    stage("pixel", "all", PIXELS, accumulate=2),
)


@pytest.fixture
def clips() -> Clips:
    return Clips({"noise": np.random.default_rng(0).integers(0, 256, (6, 40, 40, 3), dtype=np.uint8)}, "moderate")


@pytest.fixture(autouse=True)
def _no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Corpus, "loader", lambda corpus: iter(corpus))  # a process per stage would cost more than the steps


def fresh() -> Oasis:
    torch.manual_seed(0)
    model = Oasis(CONFIG)
    model.vae.basis.normal_(std=0.05)
    return model


def run(folder: Path, clips: Clips, stages: tuple[Stage, ...] = STAGES, **other: object) -> dict[str, torch.Tensor]:
    settings = {"source": clips, "schedule": SCHEDULES["constant"], "stages": stages, "folder": folder, "seed": 1}
    return loop.train(fresh(), loop.Run(**settings, **other)).state_dict()  # type: ignore[arg-type]


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "log.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("number", "parts"),
    [(0, ("vae.",)), (1, ("dit.", "prompt")), (2, ("vae.", "dit.", "prompt"))],
    ids=["decoder", "transformer", "all"],
)
def test_each_stage_trains_its_parts_alone(tmp_path: Path, clips: Clips, number: int, parts: tuple[str, ...]) -> None:
    before, after = fresh().state_dict(), run(tmp_path, clips, STAGES[number : number + 1])
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert {part for part in parts for name in changed if name.startswith(part)} == set(parts)
    assert all(name.startswith(parts) for name in changed)


@pytest.mark.parametrize("bf16", [False, True])
def test_a_stopped_run_continues_bit_identically(
    tmp_path: Path, clips: Clips, monkeypatch: pytest.MonkeyPatch, bf16: bool
) -> None:
    whole = run(tmp_path / "whole", clips, bf16=bf16)

    monkeypatch.setattr(loop, "SAVE_SECONDS", 0.0)
    original = Objective.forward
    for stop in (3, 6, 2, 7):  # within stages, at their ends, and again right after resuming
        calls = []

        def stops(self, *args, calls=calls, stop=stop):  # type: ignore[no-untyped-def]
            calls.append(1)
            if len(calls) == stop:
                raise KeyboardInterrupt
            return original(self, *args)

        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(Objective, "forward", stops)
            run(tmp_path / "stopped", clips, bf16=bf16)
    resumed = run(tmp_path / "stopped", clips, bf16=bf16)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    once, again = rows(tmp_path / "whole"), rows(tmp_path / "stopped")
    assert [{**row, "seconds": ""} for row in once] == [{**row, "seconds": ""} for row in again]


def test_a_finished_run_is_not_trained_again(tmp_path: Path, clips: Clips, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(tmp_path, clips)
    monkeypatch.setattr(Objective, "forward", lambda *_: pytest.fail("a step was taken"))
    again = run(tmp_path, clips)
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_accumulated_parts_give_the_gradient_of_the_whole_batch(
    tmp_path: Path, clips: Clips, monkeypatch: pytest.MonkeyPatch
) -> None:
    gradients: list[list[torch.Tensor]] = []
    monkeypatch.setattr(
        torch.optim.AdamW,
        "step",
        lambda self: gradients.append([p.grad.clone() for group in self.param_groups for p in group["params"]]),
    )
    monkeypatch.setattr(loop, "CLIP_NORM", 1e9)
    for parts in (1, 2):
        run(tmp_path / str(parts), clips, (stage("pixel", "all", PIXELS, accumulate=parts, steps=1),))
    for whole, added in zip(*gradients, strict=True):
        torch.testing.assert_close(whole, added, rtol=1e-4, atol=1e-6 * float(whole.abs().max()) + 1e-8)
    assert any(float(whole.abs().max()) > 1e-4 for whole in gradients[0])


def test_recomputed_activations_change_nothing(tmp_path: Path, clips: Clips, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = run(tmp_path / "plain", clips, STAGES[1:2])
    made = fresh

    def checkpointing() -> Oasis:
        model = made()
        model.dit.checkpointing = True
        return model

    monkeypatch.setitem(globals(), "fresh", checkpointing)
    again = run(tmp_path / "again", clips, STAGES[1:2])
    assert all(torch.equal(plain[name], again[name]) for name in plain)


def test_a_loss_that_is_not_finite_stops_the_run_at_its_last_good_state(
    tmp_path: Path, clips: Clips, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, clips, STAGES[:1])
    kept = (tmp_path / state.FILE).read_bytes()
    original = Objective.total
    monkeypatch.setattr(
        Objective, "total", lambda self, losses: original(self, losses) * (math.nan if self.stage.name == "latent" else 1)
    )
    with pytest.raises(ValueError, match=r"stage latent, step 0: the loss is nan; the last good state is kept"):
        run(tmp_path, clips)
    assert (tmp_path / state.FILE).read_bytes() == kept


def test_gradients_that_are_not_finite_stop_the_run() -> None:
    with pytest.raises(ValueError, match="here: the norm of the gradients is nan; the last good state is kept"):
        Watch().see(1.0, math.nan, "here")


def test_a_diverging_loss_is_seen_and_no_doubtful_state_is_saved() -> None:
    watch = Watch()
    for _ in range(100):
        watch.see(1.0, 1.0, "here")
    assert watch.healthy
    for _ in range(20):
        watch.see(2.0, 1.0, "here")
    assert not watch.healthy
    with pytest.raises(ValueError, match=r"here: the loss has risen to .* the run diverges"):
        for _ in range(200):
            watch.see(30.0, 1.0, "here")


def test_noise_of_single_steps_is_no_divergence() -> None:
    watch, generator = Watch(), np.random.default_rng(0)
    for step in range(2000):
        watch.see(float(generator.lognormal(0, 0.5)) * 0.999**step, 1.0, "here")
    assert watch.healthy


def test_learning_rate_warms_up_and_falls_to_a_tenth() -> None:
    hundred = dataclasses.replace(STAGES[0], steps=100, warmup=10)
    rates = [loop.rate(step, hundred) for step in range(101)]
    assert rates[0] == pytest.approx(0.1) and max(rates) == rates[10] == pytest.approx(1)
    assert rates[100] == pytest.approx(0.1)
    assert all(a > b for a, b in itertools.pairwise(rates[10:]))


def test_progress_of_the_schedule_counts_steps_that_see_lq_clips(tmp_path: Path, clips: Clips) -> None:
    settings = loop.Run(source=clips, schedule=SCHEDULES["progressive"], stages=STAGES, folder=tmp_path, seed=0)
    assert [settings.probability(0, step) for step in range(4)] == [0, 0, 0, 0]
    assert [settings.probability(1, step) for step in range(4)] == [0, 0, 0, 0]
    assert [settings.probability(2, step) for step in range(4)] == [0, 0.25, 0.5, 0.75]


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
