"""One training loop: step, log, save, resume."""

import csv
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from oasis import files
from oasis.model.oasis import Oasis
from oasis.model.unshuffle import unshuffle
from oasis.model.vae import SmallVAE
from oasis.train.corpus import Corpus
from oasis.train.losses import charbonnier, frame_difference_loss, gradient_loss, latent_loss
from oasis.train.stages import Stage

EMA_DECAY = 0.998
CLIP_NORM = 1.0
SAVE_SECONDS = 300.0
# How sharply a head may look is decided by the gains of its norms alone. At the other weights' rate they moved by 5 % in 570
# steps, all upwards, and heads stayed near uniform attention.
GAIN_PACE = 15.0
LATENT_NOISE = 0.02  # of the latents' spread: the decoder will read latents that are not perfect


def train(model: Oasis, clips: Sequence[np.ndarray], stages: Sequence[Stage], folder: Path, *, seed: int) -> Oasis:
    """Run the stages in order and return the model with the averaged weights of the last one.

    `folder` receives state.pt (resumed from when it exists), log.csv and stages.json. A loss that is not finite stops the
    run with a ValueError; the last state stays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files.write_text(folder / "stages.json", json.dumps([asdict(stage) for stage in stages], indent=2) + "\n")
    state = _load_state(folder / "state.pt")
    if state is not None:
        model.load_state_dict(state["model"])
    for index, stage in enumerate(stages):
        if state is not None and index < state["stage"]:
            continue
        resumed = state if state is not None and state["stage"] == index and state["step"] else None
        _run_stage(model, stage, index, clips, folder, seed=seed, state=resumed)
        state = None
    return model


def _run_stage(
    model: Oasis,
    stage: Stage,
    index: int,
    clips: Sequence[np.ndarray],
    folder: Path,
    *,
    seed: int,
    state: dict[str, Any] | None,
) -> None:
    trained = _trained_part(model, stage)
    parameters = [parameter for parameter in trained.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(_groups(trained), lr=stage.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    average = {name: value.detach().clone() for name, value in trained.state_dict().items()}
    first, seconds = 0, 0.0
    if state is not None:
        optimiser.load_state_dict(state["optimiser"])
        average, first, seconds = state["average"], state["step"], state["seconds"]
    corpus = Corpus(clips, stage.sizes, seed=seed + index, start=first)
    loss_of = _LOSSES[stage.name]
    started = saved = time.monotonic()
    progress = tqdm(total=stage.steps, initial=first, desc=stage.name, dynamic_ncols=True)
    for step, (lq, hr) in zip(range(first, stage.steps), corpus.loader(), strict=False):
        for group in optimiser.param_groups:
            group["lr"] = stage.learning_rate * rate(step, stage) * group["pace"]
        loss, parts = loss_of(model, lq, hr, torch.Generator().manual_seed(seed * stage.steps + step))
        if not math.isfinite(loss.item()):
            raise ValueError(f"stage {stage.name}, step {step}: the loss is {loss.item()}; the last saved state is kept")
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(parameters, CLIP_NORM)
        optimiser.step()
        _update_average(average, trained, decay=min(EMA_DECAY, (step + 1) / (step + 10)))
        elapsed = seconds + time.monotonic() - started
        if step % 10 == 0:
            _log(
                folder / "log.csv",
                {"stage": stage.name, "step": step, "seconds": round(elapsed, 1), "norm": float(norm), **parts},
            )
            progress.set_postfix(loss=f"{loss.item():.4f}")
        progress.update()
        if time.monotonic() - saved > SAVE_SECONDS:
            saved = time.monotonic()
            _save_state(folder, model, optimiser, average, index, step + 1, elapsed)
    progress.close()
    trained.load_state_dict(average)
    _save_state(folder, model, None, {}, index + 1, 0, 0.0)


def rate(step: int, stage: Stage) -> float:
    """Return the learning rate's factor: linear warm-up, then a cosine from 1 to 0.1."""
    if step < stage.warmup:
        return (step + 1) / stage.warmup
    done = (step - stage.warmup) / max(1, stage.steps - stage.warmup)
    return 0.1 + 0.45 * (1 + math.cos(math.pi * done))


def _decoder_loss(model: Oasis, lq: Tensor, hr: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
    vae = _small_vae(model)
    latents = vae.encode(hr)
    noisy = latents + LATENT_NOISE * torch.randn(latents.shape, generator=generator)
    decoded = vae.decode(noisy)
    pixel, gradient = charbonnier(decoded, hr), gradient_loss(decoded, hr)
    return pixel + 0.25 * gradient, {"pixel": pixel.item(), "gradient": gradient.item()}


def _latent_loss(model: Oasis, lq: Tensor, hr: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
    vae, skip = _small_vae(model), model.skip
    assert skip is not None
    with torch.no_grad():
        folded = unshuffle(lq, model.config.scale)
        residual = (vae.encode(hr) - skip(folded)) / skip.residual_std[:, None, None, None]
    predicted = model.dit(folded, model.condition())
    loss = latent_loss(predicted, residual, weight=vae.std * skip.residual_std)
    explained = 1 - loss / latent_loss(torch.zeros_like(residual), residual, weight=vae.std * skip.residual_std)
    return loss, {"latent": loss.item(), "explained": explained.item()}


def _pixel_loss(model: Oasis, lq: Tensor, hr: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
    decoded = model.decode(model.latents(lq), lq)
    pixel, gradient, frames = charbonnier(decoded, hr), gradient_loss(decoded, hr), frame_difference_loss(decoded, hr)
    loss = pixel + 0.25 * gradient + 0.25 * frames
    return loss, {"pixel": pixel.item(), "gradient": gradient.item(), "frames": frames.item()}


_LOSSES: dict[str, Callable[[Oasis, Tensor, Tensor, torch.Generator], tuple[Tensor, dict[str, float]]]] = {
    "decoder": _decoder_loss,
    "latent": _latent_loss,
    "pixel": _pixel_loss,
}


def _trained_part(model: Oasis, stage: Stage) -> nn.Module:
    model.requires_grad_(False)
    if stage.name == "decoder":
        return model.vae.requires_grad_(True)
    part = nn.ModuleDict({"dit": model.dit, "prompt": nn.ParameterList([model.prompt])})
    return part.requires_grad_(True)


def _small_vae(model: Oasis) -> SmallVAE:
    assert isinstance(model.vae, SmallVAE)
    return model.vae


def _groups(module: nn.Module) -> list[dict[str, Any]]:
    """Split the trained weights into matrices, which decay, vectors, and gains of query and key norms, which learn faster."""
    trained = {name: p for name, p in module.named_parameters() if p.requires_grad}
    gains = {name: p for name, p in trained.items() if name.endswith(("query_norm.weight", "key_norm.weight"))}
    return [
        {"params": [p for p in trained.values() if p.ndim >= 2], "pace": 1.0},
        {"params": [p for name, p in trained.items() if p.ndim < 2 and name not in gains], "pace": 1.0, "weight_decay": 0.0},
        {"params": list(gains.values()), "pace": GAIN_PACE, "weight_decay": 0.0},
    ]


@torch.no_grad()
def _update_average(average: dict[str, Tensor], module: nn.Module, decay: float) -> None:
    for name, value in module.state_dict().items():
        average[name].lerp_(value, 1 - decay)


def _save_state(
    folder: Path,
    model: Oasis,
    optimiser: torch.optim.Optimizer | None,
    average: dict[str, Tensor],
    stage: int,
    step: int,
    seconds: float,
) -> None:
    state = {
        "model": model.state_dict(),
        "optimiser": None if optimiser is None else optimiser.state_dict(),
        "average": average,
        "stage": stage,
        "step": step,
        "seconds": seconds,
    }
    with files.replacing(folder / "state.pt") as temporary:
        torch.save(state, temporary)


def _load_state(path: Path) -> dict[str, Any] | None:
    return torch.load(path, weights_only=True) if path.exists() else None


def _log(path: Path, row: dict[str, Any]) -> None:
    columns = ["stage", "step", "seconds", "norm", "latent", "explained", "pixel", "gradient", "frames"]
    new = not path.exists()
    with open(path, "a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        if new:
            writer.writeheader()
        writer.writerow({name: f"{value:.6g}" if isinstance(value, float) else value for name, value in row.items()})
