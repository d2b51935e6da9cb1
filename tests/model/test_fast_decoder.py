"""The fast decoder: sizes, where it starts, what it reads, and that it learns from latents that are given."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small_models import randomised, small_oasis
from torch import Tensor

from oasis import cost
from oasis.configs import SCALES, WAN_1_3B, WAN_1_3B_FAST, VAEConfig
from oasis.model.checkpoint import load, save
from oasis.model.oasis import Oasis, parameter_counts
from oasis.model.vae import FastDecoder
from oasis.train import shards
from oasis.train.corpus import Batch, Clips, Corpus, CropSize
from oasis.train.encoder import WanEncoder
from oasis.train.loop import Run, train
from oasis.train.objective import Objective
from oasis.train.presets import PRESETS
from oasis.train.shards import Shards
from oasis.train.stages import Stage

FAST = VAEConfig(kind="fast", channels=16, width=8, blocks=2)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("scale", SCALES)
def test_it_starts_as_the_bicubic_clip_at_every_scale(scale: int) -> None:
    vae, fold = FastDecoder(FAST, scale), 8 // scale
    lq = drawn(2, 3, 5, 3 * fold, 2 * fold)
    found = vae.decode(drawn(2, 16, 2, 3, 2), lq)
    assert found.shape == (2, 3, 5, 24, 16)
    for t in range(5):
        wanted = F.interpolate(lq[:, :, t], scale_factor=scale, mode="bicubic")
        assert torch.allclose(found[:, :, t], wanted, atol=1e-6)


def test_it_reads_two_blocks_frames_around_and_keeps_clips_apart() -> None:
    vae = randomised(FastDecoder(FAST, 4).double())
    z, lq = drawn(2, 16, 4, 3, 2).double(), drawn(2, 3, 13, 6, 4).double()
    whole = vae.decode(z, lq)
    assert torch.allclose(vae.decode(z[1:], lq[1:]), whole[1:], atol=1e-12)
    lq[:, :, 6] += 1
    changed = (vae.decode(z, lq) - whole).abs().amax(dim=(0, 1, 3, 4)) > 1e-6
    assert changed.tolist() == [4 <= frame <= 8 for frame in range(13)]


def test_gradients_reach_latents_clip_and_every_weight() -> None:
    vae = randomised(FastDecoder(FAST, 4))
    z, lq = drawn(1, 16, 2, 3, 2).requires_grad_(True), drawn(1, 3, 5, 6, 4).requires_grad_(True)
    vae.decode(z, lq).square().sum().backward()
    assert all(x.grad is not None and x.grad.abs().max() > 0 for x in (z, lq, *vae.parameters()))


def test_a_network_with_it_is_saved_and_loaded(tmp_path: Path) -> None:
    model = randomised(Oasis(small_oasis(vae=FAST, skip=False))).requires_grad_(False)
    save(model, tmp_path / "model", trained=False)
    again = load(tmp_path / "model").model.eval()
    state = again.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    lq = drawn(1, 3, 6, 5, 7).clamp(-1, 1)
    # Not the same bits: where weights lie in memory decides how some processors sum.
    assert torch.allclose(model(lq), again(lq), atol=1e-5) and model(lq).shape == (1, 3, 6, 20, 28)


def test_the_preset_differs_in_the_decoder_alone_and_costs_little() -> None:
    assert dataclasses.replace(WAN_1_3B_FAST, name=WAN_1_3B.name, vae=WAN_1_3B.vae) == WAN_1_3B
    with torch.device("meta"):
        assert 2e6 < parameter_counts(Oasis(WAN_1_3B_FAST))["decoder"] < 5e6
    flops = [
        cost.levels(cost.operations(config, (33, 180, 320)))[cost.Level("decoder")].executed
        for config in (WAN_1_3B_FAST, WAN_1_3B)
    ]
    assert flops[0] < flops[1] / 20


def objective(vae: VAEConfig, trains: Any = "decoder") -> Objective:
    torch.manual_seed(0)
    sizes = (CropSize(batch=2, frames=5, height=32, width=32),)
    stage = Stage(name="decoder", trains=trains, steps=1, learning_rate=1e-3, sizes=sizes, losses={"pixel": 1.0})
    return Objective(Oasis(small_oasis(vae=vae, skip=False)), stage)


def batch(latents: bool = True) -> Batch:
    hr = F.interpolate(drawn(10, 3, 8, 8), scale_factor=4, mode="bicubic").unflatten(0, (2, 5)).transpose(1, 2).clamp(-1, 1)
    lq = F.avg_pool3d(hr, (1, 4, 4))
    return Batch(lq, hr, drawn(2, 16, 2, 4, 4, seed=3) if latents else None)


def test_a_few_steps_lower_the_loss_of_the_decoder_stage() -> None:
    goal, crops = objective(FAST), batch()
    learned = [tensor for tensor in goal.parameters() if tensor.requires_grad]
    assert {id(tensor) for tensor in learned} == {id(tensor) for tensor in goal.model.vae.parameters()}
    optimiser = torch.optim.Adam(learned, lr=3e-3)
    losses = []
    for _ in range(30):
        loss = goal.total(goal(crops, [0, 1]))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0]


def test_every_stage_runs_from_shards_that_hold_latents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Corpus, "loader", lambda corpus: iter(corpus))  # a process per stage would cost more than the steps
    wan = WanEncoder(VAEConfig(kind="wan", channels=16, width=4, blocks=1))

    def encoder(frames: np.ndarray) -> np.ndarray:
        return wan.encode(torch.from_numpy(frames).permute(3, 0, 1, 2)[None] / 127.5 - 1)[0].numpy()

    sizes = (CropSize(batch=2, frames=5, height=32, width=32),)
    clips = Clips({"noise": np.random.default_rng(0).integers(0, 256, (6, 40, 40, 3), dtype=np.uint8)}, "moderate")
    shards.write(tmp_path / "shards", clips, sizes, 2, seed=0, encoder=encoder)
    preset = PRESETS["wan-1.3b-fast"]
    stages = tuple(
        dataclasses.replace(stage, steps=1, sizes=sizes, warmup=0, accumulate=1, losses=without_features(stage))
        for stage in preset.stages
    )
    model = Oasis(small_oasis(vae=FAST, skip=False))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    run = Run(source=Shards(tmp_path / "shards"), schedule=preset.schedule, stages=stages, folder=tmp_path / "run", seed=0)
    after = train(model, run).state_dict()
    changed = {name.split(".")[0] for name, tensor in before.items() if not torch.equal(tensor, after[name])}
    assert changed == {"dit", "prompt", "vae"}


def without_features(stage: Stage) -> dict[str, float]:
    return {name: weight for name, weight in stage.losses.items() if name != "perceptual"}


def test_it_needs_latents_and_the_wan_decoder_stays_as_it_is() -> None:
    with pytest.raises(ValueError, match=r"has no encoder: .* need shards with latents"):
        objective(FAST)(batch(latents=False), [0, 1])
    with pytest.raises(ValueError, match="trains 'all', but small has a pretrained decoder"):
        objective(VAEConfig(kind="wan", channels=16, width=8, blocks=1), trains="all")


def test_its_training_begins_with_the_decoder() -> None:
    plan = PRESETS["wan-1.3b-fast"]
    assert [stage.trains for stage in plan.stages] == ["decoder", "transformer", "all"]
    assert all(stage.trains != "decoder" for stage in plan.routed)
