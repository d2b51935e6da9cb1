"""Attention alone: routed, and the probe, against the best dense backend here, over lengths and resolutions."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from oasis.attention import attend, sdpa
from oasis.attention.lse import attention_lse, expectations, pattern_lse
from oasis.attention.ordered import ordered, window_of
from oasis.grid import Grid
from oasis.routing import FRAME, Pattern, window
from oasis.timing.found import DTYPES, Found, Setting
from oasis.timing.kernels import kernel_names
from oasis.timing.machine import state
from oasis.timing.memory import peak_mib
from oasis.timing.overhead import overhead
from oasis.timing.phases import cpu_clock, cuda_clock
from oasis.timing.rounds import measure
from oasis.timing.routings import label

DENSE = "dense"
PROBES = ("probe log-sum-exps", "probe all statistics")
PROBED = (FRAME, window(8, 8))


@dataclass(frozen=True, kw_only=True)
class Request:
    """Which attention to time: `routings` hold a pattern per head, each is run by every backend of `backends`."""

    grids: Sequence[Grid]
    heads: int = 12
    d: int = 64
    routings: Sequence[tuple[Pattern, ...]]
    backends: Sequence[str] = ("folded",)
    probe: bool = True
    memory: bool = True
    setting: Setting


@dataclass(frozen=True, kw_only=True)
class Case:
    """One grid, and what a candidate needs; `dense` is the dense backend, which folded attention calls, too."""

    grid: Grid
    heads: int
    d: int
    device: str
    dtype: str
    dense: str


def candidate(case: Case, name: str, backend: str, patterns: tuple[Pattern, ...]) -> Callable[[], Any]:
    """Return a function without arguments that runs one candidate on random queries, keys and values."""
    q, k, v = _inputs(case)
    # Tokens are put in order once for all layers, which is no part of attention, and random ones are as good in any order.
    window = window_of(patterns) if backend == "ordered" else None

    def dense() -> Tensor:
        with sdpa.only(case.dense):
            return F.scaled_dot_product_attention(q, k, v)

    def routed() -> Tensor:
        with sdpa.preferring(case.dense):
            if window is not None:
                return ordered(q, k, v, patterns, case.grid, window)
            return attend(q, k, v, patterns, case.grid, backend=backend)

    if name not in PROBES:
        return dense if name == DENSE else routed
    lse = attention_lse(q, k, v).lse

    def log_sum_exps() -> object:
        return [pattern_lse(q, k, v, pattern, case.grid) for pattern in PROBED]

    if name == PROBES[0]:
        return log_sum_exps
    return lambda: (log_sum_exps(), expectations(q, k, lse, case.grid))


def profile(request: Request) -> Found:
    """Time every grid and return a row for each of its candidates, the fastest dense backend first."""
    setting = request.setting
    found = Found(setting=setting, about={"heads": request.heads, "head_dim": request.d})
    for grid in request.grids:
        case = _case(request, grid)
        named = _named(request, case)
        functions = {name: candidate(case, *named[name]) for name in named}
        found.tokens[str(grid)] = grid.tokens
        found.before = found.before or state(setting.device, functions[DENSE])
        for name, measured in measure(functions, setting.rounds, device=setting.device, cold=setting.cold).items():
            subject, backend, patterns = named[name]
            peak = _peak(case, subject, backend, patterns) if request.memory else None
            where = {"phase": "total", "case": str(grid), "baseline": DENSE, "frames": 0, "peak_mib": peak}
            found.add(measured, subject=subject, what="attention", backend=backend, **where)
            if grid == request.grids[0]:
                found.kernels[name] = kernel_names(functions[name], setting.device)
        found.after = state(setting.device, functions[DENSE])
    clock = cpu_clock() if setting.device == "cpu" else cuda_clock()
    found.harness_overhead = overhead(clock) / min(row.p50 for row in found.rows)
    return found


def _inputs(case: Case) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shape = (1, case.heads, case.grid.tokens, case.d)
    q, k, v = (torch.randn(shape, generator=generator).to(case.device, DTYPES[case.dtype]) for _ in range(3))
    return q, k, v


def _case(request: Request, grid: Grid) -> Case:
    where = request.setting
    case = Case(grid=grid, heads=request.heads, d=request.d, device=where.device, dtype=where.dtype, dense=sdpa.PLAIN)
    best, _ = sdpa.fastest(*_inputs(case))
    return dataclasses.replace(case, dense=best)


def _named(request: Request, case: Case) -> dict[str, tuple[str, str, tuple[Pattern, ...]]]:
    """Return subject, backend and patterns of every candidate by a name of its own, the baseline first."""
    named: dict[str, tuple[str, str, tuple[Pattern, ...]]] = {DENSE: (DENSE, case.dense, ())}
    for patterns in request.routings:
        for backend in request.backends:
            named[f"{label(patterns)} ({backend})"] = (label(patterns), backend, patterns)
    if request.probe:
        named |= {name: (name, "folded", ()) for name in PROBES}
    return named


def _peak(case: Case, subject: str, backend: str, patterns: tuple[Pattern, ...]) -> float:
    return peak_mib(warm_candidate, case, subject, backend, patterns, device=case.device)


def warm_candidate(case: Case, name: str, backend: str, patterns: tuple[Pattern, ...]) -> Callable[[], Any]:
    """Return a candidate, after the same on a small grid, so that what libraries take on first use is not counted."""
    candidate(dataclasses.replace(case, grid=Grid(2, 8, 8)), name, backend, patterns)()
    return candidate(case, name, backend, patterns)
