"""Numbers that others printed: rows with their source, and which of our measures, if any, means the same."""

import csv
import io
import math
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Reported:
    """One printed number. `protocol` names whose way of measuring it was, `source` the table or page it stands in."""

    method: str
    venue: str
    dataset: str
    metric: str
    value: float
    higher_is_better: bool
    protocol: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Efficiency:
    """Printed size and speed of a method; `params_b` in billions, `runtime_s` in seconds for `frames` at `resolution`."""

    method: str
    params_b: float | None
    runtime_s: float | None
    hardware: str
    frames: str
    resolution: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Comparable:
    """What a reported column is in our names.

    "same": the definition is that of `measure`; "inferred": it very likely is, but its authors do not say so; "unknown":
    they do not say what they computed; "irreproducible": it is known that published code gives other numbers. `factor`
    times our value is the printed one. The input clips may differ all the same.
    """

    measure: str | None
    status: Literal["same", "inferred", "unknown", "irreproducible"]
    note: str
    factor: float = 1.0


def read(path: Path) -> list[Reported]:
    """Read a table of reported numbers; ValueError says which line or field does not fit."""
    return [_reported(path, line, row) for line, row in _lines(path, Reported)]


def read_efficiency(path: Path) -> list[Efficiency]:
    """Read a table of reported sizes and speeds; ValueError says which line or field does not fit."""
    return [_efficiency(path, line, row) for line, row in _lines(path, Efficiency)]


def protocol_of(metric: str, protocol: str) -> Comparable:
    """Return which of our measures a reported column is, and how sure that is."""
    for metrics, protocols, found in _KNOWN:
        if re.fullmatch(metrics, metric) and re.fullmatch(protocols, protocol):
            return found
    return Comparable(measure=None, status="unknown", note="its authors do not say how it was computed")


def card_of(dataset: str) -> tuple[str | None, str]:
    """Return the name of our card for a reported data set, None if it is none of them, and what is known of its input."""
    for pattern, card, note in _DATASETS:
        if re.fullmatch(pattern, dataset):
            return card, note
    return None, "no card of this project describes this set"


_DOVE_NOTE = "pyiqa's defaults, confirmed by two outsiders (DOVE issue 29)"
_PYIQA_GUESS = "the size of the values fits pyiqa's, its authors do not say so"
_KNOWN = (
    ("PSNR", "DOVE|OASIS", Comparable(measure="psnr@pyiqa", status="same", note=_DOVE_NOTE)),
    ("SSIM", "DOVE|OASIS", Comparable(measure="ssim@pyiqa", status="same", note=_DOVE_NOTE)),
    ("LPIPS", "DOVE|OASIS", Comparable(measure="lpips@alex", status="same", note=_DOVE_NOTE)),
    ("DISTS", "DOVE", Comparable(measure="dists@pyiqa", status="same", note=_DOVE_NOTE)),
    ("CLIP-IQA", "DOVE|OASIS", Comparable(measure="clipiqa@pyiqa", status="same", note=_DOVE_NOTE)),
    (
        "DOVER",
        "DOVE|OASIS",
        Comparable(
            measure=None, status="irreproducible", note="unreleased code; official DOVER gives other numbers (DOVE issue 29)"
        ),
    ),
    ("FasterVQA", "DOVE", Comparable(measure=None, status="irreproducible", note="its script imports unreleased code")),
    (
        "E_warp",
        "DOVE|OASIS",
        Comparable(
            measure="ewarp@dove-exact-half-occ-x1000", status="inferred", note="unreleased; EvalCrafter's by its arguments"
        ),
    ),
    (
        "E_warp",
        "STAR",
        Comparable(measure="ewarp@dove-exact-half-occ-x1000", status="same", note="EvalCrafter's (STAR issue 25)"),
    ),
    ("DOVER", "STAR|DOVER-OFFICIAL.*", Comparable(measure="dover@fused", status="same", note="official DOVER, overall, 0..1")),
    (
        "DOVER-technical",
        "SEEDVR|SEEDVR2",
        Comparable(
            measure="dover@technical", status="same", note="technical branch times 100 (SeedVR2 issue 11)", factor=100.0
        ),
    ),
    (
        "DOVER-technical",
        "FLASHVSR",
        Comparable(measure="dover@technical", status="inferred", note="technical times 100, by its size", factor=100.0),
    ),
    ("PSNR", "SEEDVR2|STAR|FLASHVSR", Comparable(measure="psnr@pyiqa", status="inferred", note=_PYIQA_GUESS)),
    ("SSIM", "SEEDVR2|STAR|FLASHVSR", Comparable(measure="ssim@pyiqa", status="inferred", note=_PYIQA_GUESS)),
    ("CLIP-IQA", "SEEDVR|SEEDVR2|FLASHVSR", Comparable(measure="clipiqa@pyiqa", status="inferred", note=_PYIQA_GUESS)),
    (
        "PSNR-RGB",
        "MMAGIC-RGB.*|BASICSR-RGB",
        Comparable(measure="psnr@rgb", status="same", note="BasicSR and mmagic, all frames, no crop"),
    ),
    (
        "SSIM-RGB",
        "MMAGIC-RGB.*|BASICSR-RGB",
        Comparable(measure="ssim@rgb", status="same", note="BasicSR and mmagic, all frames, no crop"),
    ),
    (
        "(PSNR|SSIM)-Y",
        r"MMAGIC-Y\(WRONG-LR-PHASE\)",
        Comparable(measure=None, status="unknown", note="its input was sampled at another pixel phase (mmagic issue 803)"),
    ),
    ("PSNR-Y", "MMAGIC-Y.*", Comparable(measure="psnr@y", status="same", note="BT.601 limited range, all frames, no crop")),
    ("SSIM-Y", "MMAGIC-Y.*", Comparable(measure="ssim@y", status="same", note="BT.601 limited range, all frames, no crop")),
    ("PSNR-Y", "PFNL-MATLAB-Y", Comparable(measure="psnr@y-rounded", status="same", note="MATLAB's rounded luma")),
    (
        "NIQE-Y",
        "VIDEOLQ-3FRAMES",
        Comparable(measure="niqe@basicsr-3f", status="inferred", note="MATLAB there, a Python port here"),
    ),
    (
        "NRQM-Y",
        "VIDEOLQ-3FRAMES",
        Comparable(measure="nrqm@pyiqa-3f", status="inferred", note="MATLAB there, a Python port here"),
    ),
    ("PI-Y", "VIDEOLQ-3FRAMES", Comparable(measure="pi@pyiqa-3f", status="inferred", note="MATLAB there, a Python port here")),
    (
        "BRISQUE-Y",
        "VIDEOLQ-3FRAMES",
        Comparable(measure="brisque@pyiqa-3f", status="inferred", note="MATLAB there, a Python port here"),
    ),
)
_OWN_LQ = "every paper degraded this set with its own random seed: the input differs from table to table"
_DATASETS = (
    ("REDS4(-BIx4)?", "reds4", "the official bicubic input"),
    ("UDM10-BDx4", "udm10", "blurred and decimated (BDx4)"),
    ("UDM10", "udm10", _OWN_LQ),
    ("SPMCS", "spmcs", _OWN_LQ),
    ("SPMCS30-(BI|BD)x4", "spmcs", "bicubic, or blurred and decimated"),
    ("YouHQ40", "youhq40", _OWN_LQ),
    ("RealVSR", "realvsr", "real pairs; some papers upscale by 1, some shrink the input first"),
    ("MVSR4x", "mvsr4x", "real pairs; some papers upscale by 1, some shrink the input first"),
    ("VideoLQ", "videolq", "real input without ground truth; output size differs from paper to paper"),
)


def _lines(path: Path, record: type) -> list[tuple[int, dict[str, str]]]:
    columns = [field.name for field in fields(record)]
    try:
        table = csv.DictReader(io.StringIO(Path(path).read_text(encoding="utf-8"), newline=""))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a CSV file in UTF-8 ({error})") from error
    if list(table.fieldnames or ()) != columns:
        raise ValueError(f"{path}: columns are {', '.join(table.fieldnames or ())}; allowed: {', '.join(columns)}")
    found = list(enumerate(table, start=2))
    for line, row in found:
        if None in row or None in row.values():
            raise ValueError(f"{path}, line {line}: another number of fields than the header has")
        for name in ("method", "source"):
            if not row[name].strip():
                raise ValueError(f"{path}, line {line}: {name} is empty; a reported number needs one")
    return found


def _reported(path: Path, line: int, row: dict[str, str]) -> Reported:
    if row["higher_is_better"] not in ("true", "false"):
        raise ValueError(f"{path}, line {line}: higher_is_better is {row['higher_is_better']!r}; allowed: true, false")
    value = _number(path, line, "value", row["value"])
    if value is None:
        raise ValueError(f"{path}, line {line}: value is empty; allowed: a number")
    better = row["higher_is_better"] == "true"
    texts = {name: row[name] for name in ("method", "venue", "dataset", "metric", "protocol", "source")}
    return Reported(**texts, value=value, higher_is_better=better)


def _efficiency(path: Path, line: int, row: dict[str, str]) -> Efficiency:
    numbers = {name: _number(path, line, name, row[name]) for name in ("params_b", "runtime_s")}
    texts = {name: row[name] for name in ("method", "hardware", "frames", "resolution", "source")}
    return Efficiency(**texts, params_b=numbers["params_b"], runtime_s=numbers["runtime_s"])


def _number(path: Path, line: int, name: str, text: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{path}, line {line}: {name} is {text!r}; allowed: a finite number")
    return value
