"""How long every method takes, one after the other in every round; and the full-size network where there is a GPU."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from oasis.suite.methods import Method, Upscale
from oasis.suite.outputs import Clip, size
from oasis.timing import machine, measure, model
from oasis.timing.found import Found, Setting
from oasis.timing.kernels import kernel_names
from oasis.timing.overhead import overhead
from oasis.timing.phases import wall_clock
from oasis.timing.routings import THIRDS

FULL_SIZE = (17, 180, 320)
"""Frames, rows and columns of the LQ clip on which the full-size network is timed and counted."""


def write(
    methods: Sequence[Method], ready: Mapping[str, Upscale], baseline: str, clip: Clip, device: str, rounds: int, path: Path
) -> None:
    """Time the methods on a clip in memory, LQ frames in and HR frames out, each against `baseline`, and write the rows.

    By the processor's clock, after all work on `device` is done: resampling works on the processor anyway.
    """
    calls = {name: _call(ready[name], clip) for name in sorted(ready, key=lambda name: name != baseline)}
    found = Found(setting=Setting(device=device, rounds=rounds))
    clock = wall_clock(device, names=())
    found.before = machine.state(device, calls[baseline])
    timed = measure(calls, rounds, device=device, clock=clock)
    found.after = machine.state(device, calls[baseline])
    for method in methods:
        found.add(
            timed[method.name],
            subject=method.name,
            what="model",
            phase="total",
            case="x".join(map(str, size(clip))),
            backend=method.backend,
            baseline=baseline,
            peak_mib=None,
            frames=len(clip.lq),
        )
        if method.backend == "pillow":
            found.rows[-1] = replace(found.rows[-1], dtype="uint8", device="cpu")
    found.harness_overhead = overhead(clock) / min(row.p50 for row in found.rows)
    found.kernels[baseline] = kernel_names(calls[baseline], device)
    found.write(path)


def write_full_size(rounds: int, path: Path) -> None:
    """Time the full-size network with random weights on CUDA, dense and with equal shares of the patterns."""
    setting = Setting(device="cuda", dtype="bfloat16", rounds=rounds)
    model.profile(model.Request(model="random-wan-1.3b", clips=(FULL_SIZE,), routings=(THIRDS,), setting=setting)).write(path)


def _call(upscale: Upscale, clip: Clip) -> Callable[[], Any]:
    return lambda: list(upscale(clip.lq))
