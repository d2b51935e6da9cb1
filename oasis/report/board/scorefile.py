"""Score files as columns, for boards of a million rows: the rows and refusals of `oasis.results.read`, faster."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from oasis import results, tables
from oasis.results import Score, Status

TEXTS = ("method", "dataset", "clip", "measure", "status", "align", "output_sha256", "reference_sha256", "reason")
FIRST_LINE = 3
"""Number of the first row, below the fingerprint and the header."""
_COLUMNS = [field.name for field in fields(Score)]


@dataclass(frozen=True, kw_only=True)
class ScoreFile:
    """The rows of one file: texts by column, and numbers; `value` is NaN where there is none."""

    texts: dict[str, Sequence[str]]
    version: NDArray[np.int64]
    frames: NDArray[np.int64]
    value: NDArray[np.float64]
    fingerprint: dict[str, Any]


def read(path: Path) -> ScoreFile:
    """Return the rows of a score file; ValueError says which line or field does not fit."""
    try:
        return _read(path)
    except csv.Error as error:
        raise ValueError(f"{path}: not a table of this project ({error})") from error
    except (ValueError, OverflowError) as error:
        results.read(path)  # the plain reader names the line
        raise ValueError(f"{path}: not a score file ({error})") from error


def _read(path: Path) -> ScoreFile:
    fingerprint, text = tables.split(path)
    if fingerprint.get("format") != results.FORMAT or "kind" in fingerprint:
        raise ValueError("another format")
    table = csv.reader(io.StringIO(text, newline=""))
    if next(table, None) != _COLUMNS:
        raise ValueError("other columns")
    rows = [row for row in table if row]
    if any(len(row) != len(_COLUMNS) for row in rows):
        raise ValueError("another number of fields")
    column = dict(zip(_COLUMNS, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(_COLUMNS, ())
    value = np.array([float(text) if text else np.nan for text in column["value"]], dtype=np.float64)
    empty = np.array([text == "" for text in column["value"]], dtype=bool)
    ok = np.array([text == "ok" for text in column["status"]], dtype=bool)
    if not set(column["status"]) <= set(get_args(Status)) or (np.isnan(value) != empty).any() or (ok == empty).any():
        raise ValueError("a status or a value that is not allowed")
    return ScoreFile(
        texts={name: column[name] for name in TEXTS},
        version=np.array([int(text) for text in column["version"]], dtype=np.int64),
        frames=np.array([int(text) for text in column["frames"]], dtype=np.int64),
        value=value,
        fingerprint=fingerprint,
    )
