"""Cost rows: FLOPs, parameters and bytes of one part of one subject in one case, counted from shapes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from oasis import tables

FORMAT = 1
Kind = Literal["dense", "useful", "executed"]


@dataclass(frozen=True, kw_only=True)
class Cost:
    """One counted thing; 2 FLOPs per multiply-add.

    `subject`: a method, or a preset with its routing. `case`: "TxHxW", frames, rows and columns of the LQ clip. `phase`:
    "total" or a part of the network; `part` of it, "" for all of it; `layer`, -1 for all of them. `kind`: "dense" as if
    every token saw every token, "useful" inside the masks, "executed" what the backend multiplies, padding included.
    """

    subject: str
    case: str
    phase: str
    part: str
    layer: int
    kind: Kind
    flops: int
    parameters: int
    weight_bytes: int
    activation_bytes: int


def write(path: Path, rows: Iterable[Cost], fingerprint: Mapping[str, Any]) -> None:
    """Write rows below a fingerprint (what was counted, how), whole or not at all."""
    tables.write(path, Cost, rows, {"format": FORMAT, "kind": "costs", **fingerprint})


def read(path: Path) -> tuple[list[Cost], dict[str, Any]]:
    """Return the rows and the fingerprint of a file that `write` wrote; ValueError says which line or field does not fit."""
    rows, fingerprint = tables.read(path, Cost)
    if fingerprint.get("kind") != "costs" or fingerprint.get("format") != FORMAT:
        raise ValueError(f"{path}: not a file of costs of format {FORMAT}")
    return rows, fingerprint
