"""Are two results comparable, and if not, why; from two score files alone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from oasis import results
from oasis.results import Score


@dataclass(frozen=True, kw_only=True)
class Reason:
    """One thing that stands between two results.

    "different" makes them incomparable, "unknown" keeps it from being told, "caution" may move values slightly.
    """

    kind: Literal["different", "unknown", "caution"]
    text: str


def verify(first: Path, second: Path) -> list[Reason]:
    """Return what differs between two score files apart from method and values; empty if nothing does."""
    (one, one_print), (two, two_print) = results.read(first), results.read(second)
    return [*_rows(one, two), *_prints(one_print, two_print)]


def verdict(reasons: list[Reason]) -> str:
    """Return one word for all reasons: comparable, unknown or different."""
    kinds = {reason.kind for reason in reasons}
    return "different" if "different" in kinds else "unknown" if "unknown" in kinds else "comparable"


def _rows(one: list[Score], two: list[Score]) -> Iterator[Reason]:
    a, b = ({(row.clip, row.measure): row for row in rows} for rows in (one, two))
    datasets = {row.dataset for row in one} | {row.dataset for row in two}
    if len(datasets) > 1:
        yield Reason(kind="different", text=f"the data sets are {' and '.join(sorted(datasets))}")
    for name, left, right in (("clips", 0, 0), ("measures", 1, 1)):
        mine, theirs = {key[left] for key in a}, {key[right] for key in b}
        if mine != theirs:
            text = f"{name} only in the first: {_list(mine - theirs)}; only in the second: {_list(theirs - mine)}"
            yield Reason(kind="different" if name == "clips" or not mine & theirs else "caution", text=text)
    pairs = [(a[key], b[key]) for key in a if key in b]
    yield from _fields(pairs)
    bad = sorted({row.clip for pair in pairs for row in pair if row.status != "ok"})
    if bad:
        yield Reason(kind="different", text=f"there are rows without a value for the clips {_list(bad)}: means are over others")


def _fields(pairs: list[tuple[Score, Score]]) -> Iterator[Reason]:
    meaning = {
        "version": "the definition of the measure changed for",
        "align": "other pixels or frames were scored (another --align) for",
        "reference_sha256": "the decoded ground truth differs for",
        "frames": "another number of frames entered for",
    }
    for field, text in meaning.items():
        label = "measure" if field == "version" else "clip"
        differing = {
            str(getattr(left, label))
            for left, right in pairs
            if left.status == right.status == "ok" and getattr(left, field) != getattr(right, field)
        }
        if differing:
            yield Reason(kind="different", text=f"{text} {_list(differing)}")


def _prints(one: dict[str, Any], two: dict[str, Any]) -> Iterator[Reason]:
    lq = [fingerprint.get("lq_sha256") or {} for fingerprint in (one, two)]
    changed = [clip for clip in lq[0] if clip in lq[1] and lq[0][clip] != lq[1][clip]]
    if changed:
        yield Reason(kind="different", text=f"the low-quality input differs for {_list(changed)}")
    if not (lq[0] and lq[1]):
        which = "both results" if not (lq[0] or lq[1]) else "the first result" if not lq[0] else "the second result"
        yield Reason(kind="unknown", text=f"{which} did not record the low-quality input (score with --lq): it may differ")
    for name, left, right in _differences(one, two):
        if name in ("card_sha256", "clips") or name.startswith("weights."):
            yield Reason(kind="different", text=f"{name}: {left} and {right}")
        elif name.startswith("environment."):
            yield Reason(kind="caution", text=f"{name.removeprefix('environment.')}: {left} and {right}")


def _differences(first: Mapping[str, Any], second: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any, Any]]:
    """Return (path, value, value) wherever two nested records differ; None stands for what is not there."""
    found = []
    for name in sorted({*first, *second}):
        one, two = first.get(name), second.get(name)
        if isinstance(one, Mapping) and isinstance(two, Mapping):
            found += _differences(one, two, f"{prefix}{name}.")
        elif one != two:
            found.append((f"{prefix}{name}", one, two))
    return found


def _list(words: set[str] | list[str]) -> str:
    shown = sorted(words)
    return ", ".join(shown[:8]) + (f" and {len(shown) - 8} more" if len(shown) > 8 else "") or "none"
