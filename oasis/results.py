"""Score rows: one number of one measure on one clip, with what it was measured on; tidy files that carry their protocol."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from oasis import tables

FORMAT = 1
Status = Literal["ok", "failed", "unavailable"]


@dataclass(frozen=True, kw_only=True)
class Score:
    """One number, or why there is none.

    `version` is that of the measure's definition; `frames` how many frames (or pairs) entered, 0 for measures of a whole
    clip; `align` the policy that made output and reference comparable, "none" where none was needed; hashes are of the
    files' bytes, empty where there is no such file.
    """

    method: str
    dataset: str
    clip: str
    measure: str
    version: int
    status: Status
    value: float | None
    frames: int
    align: str
    output_sha256: str
    reference_sha256: str
    reason: str

    def __post_init__(self) -> None:
        if (self.status == "ok") != (self.value is not None):
            raise ValueError(
                f"status is {self.status!r} with the value {self.value}; allowed: a value where it is 'ok', and only there"
            )


def write(path: Path, scores: Iterable[Score], fingerprint: Mapping[str, Any]) -> None:
    """Write rows as CSV below a first line `# {fingerprint as JSON}`, whole or not at all; equal rows give equal bytes."""
    rows = (replace(score, reason=" ".join(score.reason.split())) for score in scores)
    tables.write(path, Score, rows, {"format": FORMAT, **fingerprint})


def read(path: Path) -> tuple[list[Score], dict[str, Any]]:
    """Return the rows and the fingerprint of a file that `write` wrote; ValueError says which line or field does not fit."""
    rows, fingerprint = tables.read(path, Score)
    if fingerprint.get("format") != FORMAT or "kind" in fingerprint:
        raise ValueError(f"{path}: not a score file of format {FORMAT}")
    return rows, fingerprint
