"""Timing rows: how long one phase of one subject took in one case, with what it is a ratio of."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from oasis import tables

FORMAT = 1
What = Literal["attention", "model", "pipeline", "decoder"]
Cache = Literal["warm", "cold"]


@dataclass(frozen=True, kw_only=True)
class Timing:
    """One timed thing.

    `subject`: a method, a routing or a kernel, as scores call it where it is a method. `case`: "TxHxW", frames, rows and
    columns of the LQ clip, of tokens where `what` is attention, or of latents where it is decoder. `phase`: "total" or a
    part of it. `p20`, `p50`, `p80`: quantiles over `rounds` in seconds. `ratio`: median over rounds of its time divided by
    that of the subject `baseline` in the same round, same case and phase. `peak_mib`: most memory at once, None where it was
    not measured. `frames`: output frames of one run, 0 for attention.
    """

    subject: str
    what: What
    phase: str
    case: str
    backend: str
    dtype: str
    device: Literal["cpu", "cuda"]
    cache: Cache
    p20: float
    p50: float
    p80: float
    ratio: float
    baseline: str
    rounds: int
    peak_mib: float | None
    frames: int

    def __post_init__(self) -> None:
        if not 0 < self.p20 <= self.p50 <= self.p80 < float("inf"):
            raise ValueError(f"p20, p50, p80 are {self.p20}, {self.p50}, {self.p80}; allowed: rising seconds above 0")
        if self.rounds < 1 or self.frames < 0 or not 0 < self.ratio < float("inf"):
            raise ValueError(f"rounds {self.rounds}, frames {self.frames}, ratio {self.ratio}: no measurement has these")


def write(path: Path, rows: Iterable[Timing], fingerprint: Mapping[str, Any]) -> None:
    """Write rows below a fingerprint (processor, versions, clocks, kernels that ran), whole or not at all."""
    tables.write(path, Timing, rows, {"format": FORMAT, "kind": "timings", **fingerprint})


def read(path: Path) -> tuple[list[Timing], dict[str, Any]]:
    """Return the rows and the fingerprint of a file that `write` wrote; ValueError says which line or field does not fit."""
    rows, fingerprint = tables.read(path, Timing)
    if fingerprint.get("kind") != "timings" or fingerprint.get("format") != FORMAT:
        raise ValueError(f"{path}: not a file of timings of format {FORMAT}")
    return rows, fingerprint
