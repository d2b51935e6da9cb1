"""Routing rows: what one routing costs, loses and scores, so that it can be held against its controls."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oasis import tables

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Routing:
    """One routing of one model and one measure.

    `rule` as `oasis.decide.parse_rule` reads it; `control` 1 for a routing that only others are held against, else 0; `heads`
    how many have each pattern, such as "G=12,F=20,W=32"; `attention_flops_ratio` self-attention FLOPs as a share of dense;
    `kl_total` nats, summed over heads; `seconds_ratio` the whole network's time as a share of dense, the median over rounds of
    one run. `quality` and `quality_dense` are the means of `measure` over `clips` clips.
    """

    model: str
    rule: str
    control: int
    heads: str
    attention_flops_ratio: float
    kl_total: float
    seconds_ratio: float
    measure: str
    quality: float
    quality_dense: float
    clips: int

    def __post_init__(self) -> None:
        if self.control not in (0, 1):
            raise ValueError(f"control is {self.control}; allowed: 0, 1")
        if not 0 < self.attention_flops_ratio <= 1 or not 0 < self.seconds_ratio < float("inf"):
            raise ValueError(
                f"attention_flops_ratio is {self.attention_flops_ratio}, seconds_ratio {self.seconds_ratio}; allowed: "
                "above 0, and at most 1 for FLOPs"
            )
        if self.kl_total < 0 or self.clips < 1:
            raise ValueError(f"kl_total is {self.kl_total}, clips {self.clips}; allowed: at least 0 nats, at least 1 clip")


def write(path: Path, rows: Iterable[Routing], fingerprint: Mapping[str, Any]) -> None:
    """Write rows below a fingerprint (weights, clips, machine), whole or not at all."""
    tables.write(path, Routing, rows, {"format": FORMAT, "kind": "routings", **fingerprint})


def read(path: Path) -> tuple[list[Routing], dict[str, Any]]:
    """Return the rows and the fingerprint of a file that `write` wrote; ValueError says which line or field does not fit."""
    rows, fingerprint = tables.read(path, Routing)
    if fingerprint.get("kind") != "routings" or fingerprint.get("format") != FORMAT:
        raise ValueError(f"{path}: not a file of routings of format {FORMAT}")
    return rows, fingerprint
