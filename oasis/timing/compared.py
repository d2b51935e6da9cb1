"""Rows of methods that were timed side by side: one for each method and step, or one that says why there is no time."""

from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import torch

import oasis
from oasis import tables
from oasis.timing.found import Run
from oasis.timing.machine import processor
from oasis.timing.phases import TOTAL
from oasis.timing.rounds import Measurement

FORMAT = 1
MPX = 1e6
TERA = 1e12


@dataclass(frozen=True, kw_only=True)
class Row:
    """Seconds of one step (or `total`) of one method on one clip.

    `phase`: "total", "encode" (without an encoder: the unshuffle), "transformer" or "decode". `weights`: what time does not
    depend on, and quality does. `size`: "TxHxW", frames, rows and columns of the LQ clip.
    `p25`, `p50`, `p75`: quartiles over `rounds` in seconds. `ratio`: median over rounds of the time divided by that of the
    method `baseline` in the same step and round. `flops`: 2 per multiply-add, as `counter` counts them. `frames_per_s` and
    `mpx_per_s`: of the output, in all. `peak_mib`: most memory that a call adds to the weights. `note`: why there is no time.
    """

    method: str
    phase: str
    weights: Literal["random"] = "random"
    size: str
    p25: float | None = None
    p50: float | None = None
    p75: float | None = None
    ratio: float | None = None
    baseline: str
    rounds: int = 0
    flops: int
    counter: str
    frames_per_s: float | None = None
    mpx_per_s: float | None = None
    peak_mib: float | None = None
    parameters: int
    weights_mib: float
    dtype: str
    device: str
    cache: Literal["warm", "cold"]
    machine: str
    versions: str
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What the rows of one method have in common; `pixels` of one output frame."""

    method: str
    baseline: str
    frames: int
    pixels: int
    size: str
    flops: dict[str, int]
    counter: str
    parameters: int
    weights_mib: float


@dataclass(kw_only=True)
class Compared(Run):
    """The rows, and how they came about."""

    rows: list[Row] = field(default_factory=list)

    def add(self, of: Subject, phases: dict[str, Measurement], peak_mib: float | None) -> None:
        """Append a row for each step of a method."""
        for phase, found in phases.items():
            whole = phase == TOTAL
            self._append(
                of,
                phase,
                p25=found.p25,
                p50=found.p50,
                p75=found.p75,
                ratio=found.ratio,
                rounds=found.rounds,
                frames_per_s=of.frames / found.p50 if whole else None,
                mpx_per_s=of.frames * of.pixels / MPX / found.p50 if whole else None,
                peak_mib=peak_mib if whole else None,
            )
        self.ended(phases[TOTAL])

    def add_without_time(self, of: Subject, note: str) -> None:
        """Append the one row of a method that could not run."""
        self._append(of, TOTAL, note=note)

    def write(self, path: Path) -> None:
        """Write the rows below what is known of the machine."""
        path.parent.mkdir(parents=True, exist_ok=True)
        tables.write(path, Row, self.rows, {"format": FORMAT, "kind": "methods side by side", **self.fingerprint()})

    def table(self) -> str:
        """Return the rows as text."""
        lines = [
            f"{'method':28} {'step':12} {'p25':>10} {'p50':>10} {'p75':>10}  ratio {'TFLOP':>10} {'frames/s':>9}"
            f" {'Mpx/s':>9} {'peak MiB':>9} {'weights MiB':>11}"
        ]
        for row in self.rows:
            if row.note:
                lines.append(f"{row.method:28} {row.note}")
                continue
            times = " ".join(f"{1000 * (seconds or 0):10.3f}" for seconds in (row.p25, row.p50, row.p75))
            ratio = "" if row.ratio is None else f"{row.ratio:.3f}"
            rates = " ".join(f"{'' if rate is None else f'{rate:.3f}':>9}" for rate in (row.frames_per_s, row.mpx_per_s))
            peak = "" if row.peak_mib is None else f"{row.peak_mib:.1f}"
            weights = f"{row.weights_mib:.1f}" if row.phase == TOTAL else ""
            flops = f"{row.flops / TERA:.4g}"
            line = f"{row.method:28} {row.phase:12} {times} {ratio:>6} {flops:>10} {rates} {peak:>9} {weights:>11}"
            lines.append(line.rstrip())
        return "\n".join([*lines, "times in ms; ratio: median over rounds to the baseline's time in the same round"])

    def _append(self, of: Subject, phase: str, **known: float | int | str | None) -> None:
        where = self.setting
        self.rows.append(
            Row(
                method=of.method,
                phase=phase,
                size=of.size,
                baseline=of.baseline,
                flops=of.flops[phase],
                counter=of.counter,
                parameters=of.parameters,
                weights_mib=of.weights_mib,
                dtype=where.dtype,
                device=where.device,
                cache="cold" if where.cold else "warm",
                machine=processor(where.device),
                versions=f"oasis {oasis.__version__}, torch {torch.__version__}, diffusers {version('diffusers')}",
                **known,  # type: ignore[arg-type]
            )
        )
