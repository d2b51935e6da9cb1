"""All rows of `reports/`, read, checked and sorted, so that equal rows give equal tables in whatever order they were written.

What is refused, in one sentence with file, line, field, value and what is allowed, because it can only be a mistake: a file
that `oasis.results.read` refuses (NaN, a wrong status, another number of fields); a fingerprint that names another method or
data set than the rows; an unknown measure; a data set under another spelling than its card's; a clip that the card does not
have; a value that no clip can have (another unit); the same method, data set, clip and measure twice in one kind; a method
without a card; no row at all.

What is shown as what it is, but neither ranked nor compared, because an honest file may have it: rows of an older version of
a measure, of another reference, of another low-quality input or of another number of frames than most (`apart`); a method
with missing or failed clips (no mean: nothing is averaged over survivors). Rows under an `--align` policy are ranked and
carry a mark. Infinite values (equal frames) are ranked, without interval.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from oasis import costs, measures, methods, reported, routings, timings
from oasis.methods import MethodCard
from oasis.report.board import apart, bounds, clips, scorefile, statistics
from oasis.report.board.columns import Columns

KINDS = {"measured": "measured here", "others": "measured by others"}
"""Folders of score files, and what kind of value they hold."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Everything that a report is made of.

    `scores`: the columns of `oasis.results.Score` (texts as categories, `value` NaN where there is none), `kind` ("measured
    here" or "measured by others"), `file` (relative to the folder of the report), `line`, `lq_sha256` (of the clip that went
    in, "" where unknown), `apart` (why a row is not compared, "" if it is); sorted by data set, measure, kind, method, clip.
    `reported`: the columns of `oasis.reported.Reported`, those of `protocol_of` (measure, status, note, factor), card and
    card_note of `card_of`, file, line; measure and card are missing values where there is none. `problems`: what is shown but
    not compared, a sentence each.
    """

    scores: pd.DataFrame
    reported: pd.DataFrame
    efficiency: pd.DataFrame
    timings: pd.DataFrame
    costs: pd.DataFrame
    routings: pd.DataFrame
    cards: dict[str, MethodCard]
    fingerprints: dict[str, dict[str, Any]]
    problems: tuple[str, ...]

    @cached_property
    def summary(self) -> pd.DataFrame:
        """Return `statistics.summary` of the scores, computed once."""
        return statistics.summary(self.scores)

    @cached_property
    def comparisons(self) -> pd.DataFrame:
        """Return `statistics.comparisons` of the scores, computed once."""
        return statistics.comparisons(self.scores)


def load(results: Path, methods_folder: Path) -> Rows:
    """Read `reports/results` and `reports/methods`; ValueError names the first thing that is refused."""
    for folder in (results, methods_folder):
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder}: there is no such folder; a report needs its results/ and methods/")
    cards = methods.load_all(methods_folder)
    found = [(path, kind) for name, kind in KINDS.items() for path in _tables(results / name)]
    return assemble(results, found, cards)


def assemble(results: Path, found: Iterable[tuple[Path, str]], cards: dict[str, MethodCard]) -> Rows:
    """Return the rows of these score files, each with its kind, beside all else that lies in `results`."""
    fingerprints: dict[str, dict[str, Any]] = {}
    scores = _scores(results, found, cards, fingerprints)
    timed = _records(results, "timings", timings.Timing, timings.read, fingerprints)
    counted = _records(results, "costs", costs.Cost, costs.read, fingerprints)
    routed = _records(results, "routings", routings.Routing, routings.read, fingerprints)
    return Rows(
        scores=scores,
        reported=_reported(results),
        efficiency=_efficiency(results),
        timings=timed,
        costs=counted,
        routings=routed,
        cards=cards,
        fingerprints=fingerprints,
        problems=tuple(apart.sentences(scores)),
    )


def _scores(
    results: Path, found: Iterable[tuple[Path, str]], cards: dict[str, MethodCard], fingerprints: dict[str, dict[str, Any]]
) -> pd.DataFrame:
    columns = Columns((*scorefile.TEXTS, "kind", "file", "lq_sha256"), ("version", "frames", "value", "line"))
    for path, kind in found:
        read = scorefile.read(path)
        name = relative(path, results)
        fingerprints[name] = read.fingerprint
        count = len(read.value)
        _check_file(name, read, cards)
        hashes = read.fingerprint.get("lq_sha256") or {}
        columns.add(
            texts={
                **read.texts,
                "kind": [kind] * count,
                "file": [name] * count,
                "lq_sha256": [str(hashes.get(clip, "")) for clip in read.texts["clip"]],
            },
            numbers={
                "version": read.version,
                "frames": read.frames,
                "value": read.value,
                "line": np.arange(count) + scorefile.FIRST_LINE,
            },
        )
    frame = columns.frame(by=("dataset", "measure", "kind", "method", "clip"))
    _check_rows(frame)
    return apart.mark(frame)


def _check_file(name: str, read: scorefile.ScoreFile, cards: dict[str, MethodCard]) -> None:
    if not len(read.value):
        raise ValueError(f"{name}: there are no rows; allowed: a score file as `oasis score` writes it")
    for field in ("method", "dataset"):
        said, rows = read.fingerprint.get(field), read.texts[field]
        line = next((line for line, text in enumerate(rows, scorefile.FIRST_LINE) if text != said), None)
        if line is not None:
            value = rows[line - scorefile.FIRST_LINE]
            raise ValueError(f"{name}, line {line}: {field} is {value!r}; allowed: {said!r}, which the fingerprint says")
    method = read.texts["method"][0]
    if method not in cards:
        raise ValueError(
            f"{name}, line {scorefile.FIRST_LINE}: method is {method!r}, which has no card; allowed: a card of that name in"
            f" reports/methods (there are {', '.join(cards) or 'none'})"
        )
    if not isinstance(read.fingerprint.get("lq_sha256") or {}, dict):
        raise ValueError(f"{name}: the fingerprint's lq_sha256 is no mapping from clips to hashes")


def _check_rows(frame: pd.DataFrame) -> None:
    for name in frame["measure"].cat.categories:
        try:
            measures.find(name)
        except ValueError as error:
            raise ValueError(f"{_place(frame[frame['measure'] == name].iloc[0])}: {error}") from error
    for dataset in frame["dataset"].cat.categories:
        rows, names = frame["dataset"] == dataset, clips.of_card(dataset)
        if clips.meant(dataset) != dataset:
            _refuse(frame, rows, "dataset", f"{clips.meant(dataset)!r}, as its card is called")
        if names is not None:
            _refuse(frame, rows & ~frame["clip"].isin(names), "clip", f"those of the card {dataset}")
    for name in frame["measure"].cat.categories:
        bad = bounds.outside(name, frame["value"].to_numpy()) & (frame["measure"] == name).to_numpy()
        low, high = bounds.of_measure(name)
        _refuse(frame, bad, "value", f"{low:g} to {high:g} for {name} (another unit?)")
    keys = frame[["dataset", "measure", "kind", "method", "clip"]].apply(lambda column: column.cat.codes)
    twice = (keys == keys.shift()).all(axis=1)
    if twice.any():
        second = int(np.flatnonzero(twice)[0])
        first, row = frame.iloc[second - 1], frame.iloc[second]
        raise ValueError(
            f"{_place(row)}: clip {row['clip']!r} has a second {row['measure']} of {row['method']!r} on {row['dataset']!r}"
            f" (the other: {_place(first)}); allowed: one"
        )


def _refuse(frame: pd.DataFrame, bad: Any, field: str, allowed: str) -> None:
    if bad.any():
        row = frame.iloc[int(np.flatnonzero(bad)[0])].to_dict()
        value = float(row[field]) if field == "value" else row[field]
        raise ValueError(f"{_place(row)}: {field} is {value!r}; allowed: {allowed}")


def _place(row: Mapping[Any, Any] | pd.Series) -> str:
    return f"{row['file']}, line {row['line']}"


def _records(
    results: Path,
    folder: str,
    record: type,
    read: Callable[[Path], tuple[list[Any], dict[str, Any]]],
    fingerprints: dict[str, dict[str, Any]],
) -> pd.DataFrame:
    rows = []
    for path in _tables(results / folder):
        name = relative(path, results)
        found, fingerprints[name] = read(path)
        rows += [{**asdict(row), "file": name} for row in found]
    return pd.DataFrame(rows, columns=[*(field.name for field in fields(record)), "file"])


def _reported(results: Path) -> pd.DataFrame:
    rows = []
    for path in _tables(results / "reported"):
        if path.name == "efficiency.csv":
            continue
        for line, row in enumerate(reported.read(path), start=2):
            card, card_note = reported.card_of(row.dataset)
            meaning = asdict(reported.protocol_of(row.metric, row.protocol))
            place = {"file": relative(path, results), "line": line}
            rows.append({**asdict(row), **meaning, "card": card, "card_note": card_note, **place})
    columns = [field.name for record in (reported.Reported, reported.Comparable) for field in fields(record)]
    frame = pd.DataFrame(rows, columns=[*columns, "card", "card_note", "file", "line"])
    key = ["dataset", "protocol", "source", "metric", "method"]
    frame = frame.sort_values([*key, "file", "line"], kind="stable", ignore_index=True)
    twice = frame.duplicated(key)
    if twice.any():
        row = frame[twice].iloc[0]
        raise ValueError(f"{_place(row)}: {row['method']!r} has a second {row['metric']} on {row['dataset']!r} from one source")
    return frame


def _efficiency(results: Path) -> pd.DataFrame:
    path = results / "reported" / "efficiency.csv"
    rows = reported.read_efficiency(path) if path.exists() else []
    found = [{**asdict(row), "file": relative(path, results)} for row in rows]
    return pd.DataFrame(found, columns=[*(field.name for field in fields(reported.Efficiency)), "file"])


def _tables(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.csv"))


def relative(path: Path, results: Path) -> str:
    """Return the path from the folder of the report, with / on every system; a file that lies elsewhere keeps its path."""
    whole, root = path.resolve(), results.resolve().parent
    return whole.relative_to(root).as_posix() if whole.is_relative_to(root) else str(path)
