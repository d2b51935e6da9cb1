"""What a profiler is asked to do, and what it found: rows for a file, and a table for people."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from oasis import timings
from oasis.timing.machine import State, fingerprint
from oasis.timing.rounds import Measurement, Stopped, Until
from oasis.timings import Timing

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Where and how everything of a run is timed."""

    device: str = "cpu"
    dtype: str = "float32"
    cold: bool = False
    rounds: int | Until = field(default_factory=Until)

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype is {self.dtype!r}; allowed: {', '.join(DTYPES)}")
        if self.device != "cpu" and not torch.cuda.is_available():
            raise ValueError(f"device is {self.device!r}, but torch finds no CUDA device; allowed here: cpu")

    @property
    def torch_dtype(self) -> torch.dtype:
        """The dtype as torch knows it."""
        return DTYPES[self.dtype]


@dataclass(kw_only=True)
class Run:
    """How rows came about.

    `kernels` of each subject; `harness_overhead`: the harness's own seconds as a share of the shortest time; `endings`: what
    ended the rounds, and the widest spread of a median (see `median_spread`) there; `about`: what rows do not say of the
    subjects, and what follows from the rows, in words; `before` and `after`: the machine.
    """

    setting: Setting
    kernels: dict[str, list[str]] = field(default_factory=dict)
    harness_overhead: float = 0.0
    endings: dict[Stopped, float] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)
    before: State | None = None
    after: State | None = None

    def ended(self, found: Measurement) -> None:
        """Note what ended the rounds of a total."""
        self.endings[found.stopped] = max(found.spread, self.endings.get(found.stopped, 0))

    def fingerprint(self) -> dict[str, Any]:
        """Return what a file says about where its rows come from."""
        assert self.before and self.after  # a profiler notes both
        known = fingerprint(self.setting.device, self.before, self.after, self.kernels, self.harness_overhead)
        return {**known, **self.about}


@dataclass(kw_only=True)
class Found(Run):
    """Rows of subjects and their baselines, and how they came about; `tokens` of each case."""

    rows: list[Timing] = field(default_factory=list)
    tokens: dict[str, int] = field(default_factory=dict)

    def add(self, found: Measurement, **where: Any) -> Timing:
        """Append the row of a measurement; `where` holds the fields of Timing that it does not know."""
        device = "cuda" if self.setting.device != "cpu" else "cpu"
        if found.ratio is None:
            raise ValueError(f"{where['subject']}, {where['phase']}: the baseline has no such phase")
        row = Timing(
            p20=found.p20,
            p50=found.p50,
            p80=found.p80,
            ratio=found.ratio,
            rounds=found.rounds,
            dtype=self.setting.dtype,
            device=device,  # type: ignore[arg-type]
            cache="cold" if self.setting.cold else "warm",
            **where,
        )
        self.rows.append(row)
        if row.phase == "total":
            self.ended(found)
        return row

    def write(self, path: Path) -> None:
        """Write the rows below what is known of the machine."""
        path.parent.mkdir(parents=True, exist_ok=True)
        timings.write(path, self.rows, self.fingerprint())

    def table(self, rows: Iterable[Timing] | None = None) -> str:
        """Return the rows as text."""
        lines = [f"{'subject':36} {'phase':22} {'case':>11} {'backend':14} {'p20':>9} {'p50':>9} {'p80':>9}  ratio  peak MiB"]
        for row in self.rows if rows is None else rows:
            times = " ".join(f"{1000 * seconds:9.3f}" for seconds in (row.p20, row.p50, row.p80))
            peak = "" if row.peak_mib is None else f"{row.peak_mib:9.1f}"
            lines.append(
                f"{row.subject:36} {row.phase:22} {row.case:>11} {row.backend:14} {times} {row.ratio:6.3f} {peak}".rstrip()
            )
        return "\n".join([*lines, "times in ms; ratio: median over rounds to the baseline's time in the same round"])
