"""Score rows: one number of one measure on one clip, with what it was measured on; tidy files that carry their protocol."""

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from oasis import files

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


COLUMNS = tuple(field.name for field in fields(Score))


def write(path: Path, scores: Iterable[Score], fingerprint: Mapping[str, Any]) -> None:
    """Write rows as CSV below a first line `# {fingerprint as JSON}`, whole or not at all; equal rows give equal bytes."""
    text = io.StringIO(newline="")
    text.write(f"# {json.dumps({'format': FORMAT, **fingerprint}, sort_keys=True)}\n")
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    for score in scores:
        value = "" if score.value is None else repr(float(score.value))
        table.writerow(asdict(score) | {"value": value, "reason": " ".join(score.reason.split())})
    files.write_text(path, text.getvalue())


def read(path: Path) -> tuple[list[Score], dict[str, Any]]:
    """Return the rows and the fingerprint of a file that `write` wrote; ValueError says which line or field does not fit."""
    try:
        first, _, rest = Path(path).read_text(encoding="utf-8").partition("\n")
        fingerprint = json.loads(first.removeprefix("# ")) if first.startswith("# ") else None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: not a score file ({error})") from error
    if not isinstance(fingerprint, dict) or fingerprint.get("format") != FORMAT:
        raise ValueError(f"{path}: its first line must be '# ' and a fingerprint of format {FORMAT}")
    table = csv.DictReader(io.StringIO(rest, newline=""))
    if tuple(table.fieldnames or ()) != COLUMNS:
        raise ValueError(f"{path}: columns must be {', '.join(COLUMNS)}")
    return [_score(path, number, row) for number, row in enumerate(table, start=3)], fingerprint


def _score(path: Path, line: int, row: dict[str, str]) -> Score:
    try:
        if None in row or None in row.values():
            raise ValueError("another number of fields")
        if row["status"] not in ("ok", "failed", "unavailable"):
            raise ValueError(f"status {row['status']!r}")
        value = float(row["value"]) if row["value"] else None
        if (row["status"] == "ok") != (value is not None) or (value is not None and math.isnan(value)):
            raise ValueError(f"status {row['status']!r} with the value {row['value']!r}")
        return Score(**{**row, "value": value, "version": int(row["version"]), "frames": int(row["frames"])})  # type: ignore[arg-type]
    except ValueError as error:
        raise ValueError(f"{path}, line {line}: {error} is not what `oasis score` writes") from error
