"""An arm before training, and after it with a seed."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor
from tqdm import tqdm

from oasis import upscale
from oasis.ablation.arms import Arm
from oasis.ablation.request import Request
from oasis.model import load_model
from oasis.model.checkpoint import save
from oasis.model.oasis import Oasis
from oasis.train import run, stages


@dataclass(frozen=True, kw_only=True)
class Variant:
    """An arm before training (`seed` None), or after; `model` is what `load_model` takes."""

    arm: Arm
    seed: int | None
    model: str

    @property
    def name(self) -> str:
        """The name of its folders."""
        return f"{self.arm.name}-{'before' if self.seed is None else f'seed-{self.seed}'}"

    def load(self, device: str) -> Oasis:
        """Return the network, routed as the arm says, also if these are not the weights that the table was decided from."""
        table = self.arm.table
        if table is not None and self.seed is not None:
            table = replace(table, weights_sha256=load_model(self.model).weights_sha256)
        return load_model(self.model, table).model.to(device)


def upscaled(network: Oasis, frames: UInt8[Tensor, "t 3 h w"]) -> Iterator[UInt8[Tensor, "3 y x"]]:
    """Yield the frames of a clip, upscaled as `oasis upscale` does."""
    return (frame.cpu() for frame in upscale.upscale(network, frames, upscale.Tiling()))


def trained(request: Request, arm: Arm, seed: int, work: Path) -> Variant:
    """Train an arm with a seed, unless that was done; a run that was stopped goes on."""
    place = work / "trained" / f"{arm.name}-seed-{seed}"
    variant = Variant(arm=arm, seed=seed, model=str(place / "model"))
    if (place / "model").exists():
        return variant
    tqdm.write(f"ablation: training {variant.name}")
    place.parent.mkdir(exist_ok=True)
    plan = work / "stages.json"
    stages.write(plan, request.plan())  # as a file, so that dense arms take the stages of routed ones
    settings = run.Settings(
        preset=request.preset,
        shards=request.shards,
        start=request.model if request.study == "routing" else None,
        routing=None if arm.table is None else routing(arm, work),
        stages=plan,
        schedule=arm.schedule,
        seed=seed,
        bf16=request.bf16,
        device=request.device,
    )
    save(run.run(settings, place), place / "model", trained=True, dtype=torch.float16)
    return variant


def routing(arm: Arm, work: Path) -> Path:
    """Write an arm's table and return its path."""
    assert arm.table is not None
    path = work / "routings" / f"{arm.name}.json"
    path.parent.mkdir(exist_ok=True)
    arm.table.save(path)
    return path
