"""Means over clips, always with how many clips they are over."""

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from oasis import files, measures
from oasis.results import Score


@dataclass(frozen=True, kw_only=True)
class Mean:
    """The unweighted mean of one measure over the clips that have a value; None if none has."""

    measure: str
    mean: float | None
    n_ok: int
    n_expected: int
    unit: str
    better: str
    reason: str


def means(scores: Iterable[Score], clip_digits: int | None = None) -> list[Mean]:
    """Return a mean for every measure in the order of the rows; `clip_digits` rounds clips first, as some papers do."""
    groups: dict[str, list[Score]] = {}
    for score in scores:
        groups.setdefault(score.measure, []).append(score)
    return [_mean(name, rows, clip_digits) for name, rows in groups.items()]


def write(path: Path, found: Iterable[Mean]) -> None:
    """Write means as CSV."""
    lines = ["measure,mean,n_ok,n_expected,unit,better"]
    lines += [f"{m.measure},{'' if m.mean is None else m.mean!r},{m.n_ok},{m.n_expected},{m.unit},{m.better}" for m in found]
    files.write_text(path, "\n".join(lines) + "\n")


def lines(found: Iterable[Mean]) -> list[str]:
    """Return the means as text for people."""
    rows = [("measure", "mean", "clips", "unit", "better")]
    for m in found:
        value = "-" if m.mean is None else f"{m.mean:.{measures.find(m.measure).digits}f}"
        rows.append((m.measure, value, f"{m.n_ok}/{m.n_expected}", m.unit or "-", m.better))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return text + [f"{m.measure}: {m.reason}" for m in found if m.reason]


def _mean(name: str, rows: list[Score], digits: int | None) -> Mean:
    values = [row.value if digits is None else round(row.value, digits) for row in rows if row.value is not None]
    measure = measures.find(name)
    reasons = sorted({f"{row.status}, {row.reason}" for row in rows if row.status != "ok"})
    return Mean(
        measure=name,
        mean=_average(values) if values else None,
        n_ok=len(values),
        n_expected=len(rows),
        unit=measure.unit,
        better=measure.better,
        reason=reasons[0] + (f" (and {len(reasons) - 1} other reasons)" if len(reasons) > 1 else "") if reasons else "",
    )


def _average(values: list[float]) -> float:
    return math.inf if math.inf in values else statistics.fmean(values)
