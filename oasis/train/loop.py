"""One training loop: step, log, save, resume."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from oasis.model.oasis import Oasis
from oasis.train import state as states
from oasis.train.corpus import Batch, Corpus, Source
from oasis.train.log import Log
from oasis.train.objective import Objective
from oasis.train.parallel import ALONE, Processes, like, whole
from oasis.train.perceptual import Features
from oasis.train.schedule import Schedule
from oasis.train.stages import Stage
from oasis.train.watch import Watch

EMA_DECAY = 0.998
CLIP_NORM = 1.0
SAVE_SECONDS = 300.0
# How sharply a head may look is decided by the gains of its norms alone. At the other weights' rate they moved by 5 % in 570
# steps, all upwards, and heads stayed near uniform attention.
GAIN_PACE = 15.0


@dataclass(frozen=True, kw_only=True)
class Run:
    """What all stages of a run share. `bf16`: matrix products in bfloat16, weights and optimiser in float32."""

    source: Source
    schedule: Schedule
    stages: tuple[Stage, ...]
    folder: Path
    seed: int
    bf16: bool = False
    features: Features | None = None
    processes: Processes = ALONE

    def probability(self, index: int, step: int) -> float:
        """Return how often crops of this step are degraded inconsistently; progress counts all steps that see LQ clips."""
        steps = [0 if stage.trains == "decoder" else stage.steps for stage in self.stages]
        if not steps[index]:
            return self.schedule.probability(0)
        return self.schedule.probability((sum(steps[:index]) + step) / sum(steps))


def train(model: Oasis, run: Run) -> Oasis:
    """Run the stages in order and return the model with the averaged weights of the last one.

    `run.folder` receives state.pt (resumed from when it exists), log.csv and tensorboard/. A loss that is not finite, or that
    rises without end, stops the run with a ValueError; the last good state stays.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    model.to(run.processes.device).train()
    state = states.load(run.folder)
    if state is not None:
        states.restore(model, state.model)
    for index, stage in enumerate(run.stages):
        if state is None or index >= state.stage:
            _Trainer(model, run, index, stage, state if state is not None and state.step else None).run_stage()
            state = None
    return model.eval()


class _Trainer:
    """One stage, from its first step or from where a state left it."""

    def __init__(self, model: Oasis, run: Run, index: int, stage: Stage, state: states.State | None) -> None:
        self.model, self.run, self.index, self.stage, self.processes = model, run, index, stage, run.processes
        self.objective = Objective(model, stage, run.features).to(self.processes.device)
        self.module = self.processes.wrap(self.objective)
        self.trained = nn.ModuleDict(self.objective.trained())
        self.optimiser = torch.optim.AdamW(_groups(self.trained), lr=stage.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
        self.average = {name: value.detach().clone() for name, value in self.trained.state_dict().items()}
        self.watch, self.first, self.seconds = Watch(), 0, 0.0
        if state is not None:
            assert state.optimiser is not None
            states.restore_optimiser(self.optimiser, state.optimiser)
            self.average = {name: like(state.average[name], value) for name, value in self.average.items()}
            self.watch, self.first, self.seconds = Watch(**state.watch), state.step, state.seconds  # type: ignore[arg-type]
        self.started = time.monotonic()

    def run_stage(self) -> None:
        """Take all steps, then put the averaged weights into the model and save."""
        before = sum(stage.steps for stage in self.run.stages[: self.index])
        log = Log(self.run.folder, self.stage, self.first, base=before) if self.processes.first else None
        saved = time.monotonic()
        for step, batch in zip(range(self.first, self.stage.steps), self._corpus().loader(), strict=False):
            row = self._step(step, batch)
            self.watch.see(row["loss"], row["norm"], f"stage {self.stage.name}, step {step}")
            if log is not None:
                log.step(step, {"seconds": round(self._elapsed(), 1), **row})
            due = time.monotonic() - saved > SAVE_SECONDS and self.watch.healthy
            if self.processes.agree(due) and step + 1 < self.stage.steps:
                saved = time.monotonic()
                self._save(step + 1)
        if log is not None:
            log.close()
        states.restore(self.trained, whole(self.average))
        self._save(None)

    def _corpus(self) -> Corpus:
        return Corpus(
            self.run.source,
            self.stage.sizes,
            seed=self.run.seed + self.index,
            probability=lambda number: self.run.probability(self.index, number),
            start=self.first,
            rank=self.processes.rank,
            world=self.processes.world,
        )

    def _step(self, step: int, batch: Batch) -> dict[str, float]:
        """Update the weights once and return what the log shows."""
        factor = rate(step, self.stage)
        for group in self.optimiser.param_groups:
            group["lr"] = self.stage.learning_rate * factor * group["pace"]
        self.optimiser.zero_grad(set_to_none=True)
        parts = _split(batch, self.stage.accumulate, self.processes.device)
        sums: dict[str, Tensor] = {}
        for number, part in enumerate(parts):
            with self.processes.accumulating(self.module, last=number + 1 == len(parts)):
                with torch.autocast(part.hr.device.type, torch.bfloat16, enabled=self.run.bf16):
                    losses = self.module(part, self._seeds(step, number, len(part.hr)))
                losses["loss"] = self.objective.total(losses)
                (losses["loss"] / len(parts)).backward()
            for name, loss in losses.items():
                sums[name] = sums.get(name, 0) + loss.detach() / len(parts)
        norm = nn.utils.clip_grad_norm_(self.trained.parameters(), CLIP_NORM)
        self.optimiser.step()
        self._update_average(min(EMA_DECAY, (step + 1) / (step + 10)))
        means = self.processes.mean(sums)
        schedule = {"learning_rate": self.stage.learning_rate * factor, "inconsistent": self.run.probability(self.index, step)}
        return {**means, "norm": float(whole(norm)), **schedule}

    def _seeds(self, step: int, part: int, crops: int) -> list[int]:
        """Return a seed for the noise of each crop of a part, the same however many processes share the batch."""
        rank, world = self.processes.rank, self.processes.world
        numbers = (rank + (part * crops + index) * world for index in range(crops))
        return [
            int(np.random.SeedSequence((self.run.seed, self.index, step, number)).generate_state(1)[0]) for number in numbers
        ]

    @torch.no_grad()
    def _update_average(self, decay: float) -> None:
        for name, value in self.trained.state_dict().items():
            self.average[name].lerp_(value, 1 - decay)

    def _elapsed(self) -> float:
        return self.seconds + time.monotonic() - self.started

    def _save(self, step: int | None) -> None:
        """Save before `step`, or with None the finished stage; sharded tensors are gathered by all processes."""
        model = whole(self.model.state_dict())
        if step is None:
            state = states.State(stage=self.index + 1, step=0, seconds=0.0, model=model)
        else:
            state = states.State(
                stage=self.index,
                step=step,
                seconds=self._elapsed(),
                model=model,
                optimiser=states.gather_optimiser(self.optimiser),
                average=whole(self.average),
                watch=self.watch.as_dict(),
            )
        if self.processes.first:
            states.save(self.run.folder, state)


def rate(step: int, stage: Stage) -> float:
    """Return the learning rate's factor: linear warm-up, then a cosine from 1 to 0.1."""
    if step < stage.warmup:
        return (step + 1) / stage.warmup
    done = (step - stage.warmup) / max(1, stage.steps - stage.warmup)
    return 0.1 + 0.45 * (1 + math.cos(math.pi * done))


def _groups(module: nn.Module) -> list[dict[str, Any]]:
    """Split the trained weights into matrices, which decay, vectors, and gains of query and key norms, which learn faster."""
    trained = {name: p for name, p in module.named_parameters() if p.requires_grad}
    gains = {name: p for name, p in trained.items() if name.endswith(("query_norm.weight", "key_norm.weight"))}
    groups: list[dict[str, Any]] = [
        {"params": [p for p in trained.values() if p.ndim >= 2], "pace": 1.0},
        {"params": [p for name, p in trained.items() if p.ndim < 2 and name not in gains], "pace": 1.0, "weight_decay": 0.0},
        {"params": list(gains.values()), "pace": GAIN_PACE, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def _split(batch: Batch, parts: int, device: str) -> Sequence[Batch]:
    """Return a batch in equal parts on a device."""
    sides = [None if side is None else side.to(device, non_blocking=True).chunk(parts) for side in batch]
    return [Batch(*(None if side is None else side[number] for side in sides)) for number in range(parts)]  # type: ignore[arg-type]
