"""Seconds of the transformer under a few routings, as shares of dense, in interleaved rounds."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from oasis import harms
from oasis.causality.arms import Arm
from oasis.causality.executed import Request
from oasis.data import cutting
from oasis.model import load_model
from oasis.probe import as_input
from oasis.routing import RoutingTable
from oasis.timing import machine, measure
from oasis.timing.found import Found, Setting
from oasis.timing.rounds import Until

UNTIL = Until(spread=0.05, seconds=20.0)
DENSE = "dense"


def few(arms: Sequence[Arm]) -> list[Arm]:
    """Return the budgets over KL of the first, the middle and the last step, and the uniform arms."""
    budgets = [arm for arm in arms if arm.name == "budget KL"]
    chosen = {budgets[number].ratio: budgets[number] for number in (0, len(budgets) // 2, -1)}
    return [*chosen.values(), *(arm for arm in arms if arm.ratio is None)]


def write(request: Request, arms: Sequence[Arm], path: Path) -> None:
    """Time the way from LQ pixels to latents on the first clip that judges, routed as `load_model` routes, and write rows."""
    clip = cutting.one(request.data, request.cut, 0).lq
    backend = harms.read(request.harms / "harms.csv")[1]["backend"]
    calls = {DENSE: _call(request, backend, None, clip)}
    calls |= {_name(arm): _call(request, backend, arm.table, clip) for arm in few(arms)}
    found = Found(setting=Setting(device=request.device, rounds=UNTIL))
    with torch.inference_mode():
        found.before = machine.state(request.device, calls[DENSE])
        timed = measure(calls, UNTIL, device=request.device)
        found.after = machine.state(request.device, calls[DENSE])
    frames, _, height, width = clip.shape
    for name, each in timed.items():
        found.add(
            each,
            subject=name,
            what="model",
            phase="total",
            case=f"{frames}x{height}x{width}",
            backend=backend,
            baseline=DENSE,
            peak_mib=None,
            frames=frames,
        )
    found.write(path)


def _name(arm: Arm) -> str:
    return arm.name if arm.ratio is None else f"{arm.name} {arm.ratio:g}"


def _call(request: Request, backend: str, table: RoutingTable | None, clip: torch.Tensor) -> Callable[[], Any]:
    model = load_model(request.model, table).model.to(request.device)
    model.dit.backend = backend
    lq = as_input(model, clip)
    return lambda: model.latents(lq)
