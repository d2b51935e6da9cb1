"""Ablation rows: what one arm scores on one clip, before or after training, so that arms can be held against each other."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from oasis import tables

FORMAT = 1
Study = Literal["routing", "schedule"]


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """One arm of a study, one clip and one measure.

    `rule` as `oasis.decide.parse_rule` reads it, or the name of a schedule; `control` 1 for an arm that only others are held
    against, else 0. `seed` is that of the training, None before any; `steps` of training. `lq` names the degradation of the
    clip. `attention_flops_ratio`: self-attention FLOPs as a share of dense. `kl_total`: nats, summed over heads, of the very
    weights that were scored. `seconds_ratio`: the whole network's time as a share of dense, the median over rounds of one run;
    None where all arms run the same network.
    """

    study: str
    model: str
    arm: str
    rule: str
    control: int
    seed: int | None
    steps: int
    attention_flops_ratio: float
    kl_total: float
    seconds_ratio: float | None
    lq: str
    clip: str
    measure: str
    value: float

    def __post_init__(self) -> None:
        if self.control not in (0, 1):
            raise ValueError(f"control is {self.control}; allowed: 0, 1")
        if (self.seed is None) != (self.steps == 0):
            raise ValueError(f"seed is {self.seed} after {self.steps} steps; allowed: a seed after training, and only there")
        if not 0 < self.attention_flops_ratio <= 1 or self.kl_total < 0:
            raise ValueError(
                f"attention_flops_ratio is {self.attention_flops_ratio}, kl_total {self.kl_total}; allowed: above 0 and at "
                "most 1, and at least 0 nats"
            )


def write(path: Path, rows: Iterable[Ablation], fingerprint: Mapping[str, Any]) -> None:
    """Write rows below a fingerprint (weights, stages, clips, machine), whole or not at all."""
    tables.write(path, Ablation, rows, {"format": FORMAT, "kind": "ablations", **fingerprint})


def read(path: Path) -> tuple[list[Ablation], dict[str, Any]]:
    """Return the rows and the fingerprint of a file that `write` wrote; ValueError says which line or field does not fit."""
    rows, fingerprint = tables.read(path, Ablation)
    if fingerprint.get("kind") != "ablations" or fingerprint.get("format") != FORMAT:
        raise ValueError(f"{path}: not a file of ablations of format {FORMAT}")
    return rows, fingerprint
