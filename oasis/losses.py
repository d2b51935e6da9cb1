"""What routings lose and cost, from files: head statistics, or the harm that was measured; FLOPs, or seconds."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from oasis import files, harms, timings
from oasis.grid import Grid
from oasis.rules import Choices


@dataclass(frozen=True, kw_only=True, eq=False)
class Losses:
    """What rules choose from, the model it belongs to, and `record`: which files it was read from, for routing.json."""

    choices: Choices
    model: str
    weights_sha256: str
    grid: Grid
    record: Mapping[str, Any]


def of_heads(heads: pd.DataFrame, statistic: str, heads_csv_sha256: str) -> Losses:
    """Return what heads lose by a column of heads.csv."""
    axes = [int(heads[axis].iloc[0]) for axis in ("T", "H", "W")]
    return Losses(
        choices=Choices.of(heads, statistic),
        model=str(heads["model"].iloc[0]),
        weights_sha256=str(heads["weights_sha256"].iloc[0]),
        grid=Grid(*axes),
        record={
            "heads_csv_sha256": heads_csv_sha256,
            "clips": sorted(str(clip) for clip in heads["clip"].unique()),
            "grid": axes,
            "dtype": str(heads["dtype"].iloc[0]),
            "statistic": statistic,
        },
    )


def of_harms(losses: Losses, path: Path, statistic: str) -> Losses:
    """Return the same heads with the harm that each does alone, averaged over the clips of a file of harms.

    ValueError if the file is of other weights or another grid, or lacks a head or pattern.
    """
    rows, about = harms.read(path)
    axes = [losses.grid.t, losses.grid.h, losses.grid.w]
    for name, mine in (("weights_sha256", losses.weights_sha256), ("grid", axes)):
        if about.get(name) != mine:
            raise ValueError(f"{path}: its {name} is {about.get(name)}, that of the head statistics {mine}; they must agree")
    clips = sorted({row.clip for row in rows})
    choices = losses.choices
    names = [pattern.name for pattern in choices.patterns[1:]]
    try:
        found = harms.of_heads(rows, statistic, clips, choices.loss.shape[:2], names).mean(axis=0)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    loss = np.concatenate([np.zeros_like(found[..., :1]), found], axis=-1)
    more = {"clips": clips, "statistic": statistic, "harms_csv_sha256": files.sha256(path)}
    return replace(losses, choices=replace(choices, loss=loss), record={**losses.record, **more})


def of_changes(losses: Losses, path: Path) -> Losses:
    """Return the same heads with what each writes differently into the tokens, averaged over the clips of a file of changes.

    ValueError as in `of_harms`.
    """
    rows, about = harms.read_changes(path)
    axes = [losses.grid.t, losses.grid.h, losses.grid.w]
    for name, mine in (("weights_sha256", losses.weights_sha256), ("grid", axes)):
        if about.get(name) != mine:
            raise ValueError(f"{path}: its {name} is {about.get(name)}, that of the head statistics {mine}; they must agree")
    means = pd.DataFrame(rows).groupby(["layer", "head", "pattern"])["write_change"].mean().to_dict()
    loss = np.zeros_like(losses.choices.loss)
    for layer, head, number in np.ndindex(loss.shape):
        if number:
            key = (layer, head, losses.choices.patterns[number].name)
            if key not in means:
                raise ValueError(f"{path}: layer {layer}, head {head}, pattern {key[2]} is missing; every one must be there")
            loss[layer, head, number] = means[key]
    more = {
        "clips": sorted({row.clip for row in rows}),
        "statistic": "write_change",
        "changes_csv_sha256": files.sha256(path),
    }
    return replace(losses, choices=replace(losses.choices, loss=loss), record={**losses.record, **more})


def in_seconds(losses: Losses, path: Path) -> Losses:
    """Return the same with the cost of a head in nanoseconds, from timing rows of attention at the same grid.

    A row's subject is a pattern. Its ratio, which drifts of the machine leave alone, times the median of its baseline is what
    the `heads` of the fingerprint take together.
    """
    rows, about = timings.read(path)
    heads = about.get("heads")
    if not isinstance(heads, int) or heads < 1:
        raise ValueError(f"{path}: its fingerprint says heads {heads!r}; allowed: how many heads share the seconds of a row")
    here = {row.subject: row for row in rows if row.what == "attention" and row.case == str(losses.grid)}
    known = {name: row.ratio * here[row.baseline].p50 for name, row in here.items() if row.baseline in here}
    names = [pattern.name for pattern in losses.choices.patterns]
    missing = [name for name in names if name not in known]
    if missing:
        raise ValueError(f"{path}: no attention timing of {missing[0]} at the grid {losses.grid}; needed: {', '.join(names)}")
    nanoseconds = np.array([round(1e9 * known[name] / heads) for name in names], np.int64)
    record = {**losses.record, "latency_csv_sha256": files.sha256(path)}
    return replace(losses, choices=replace(losses.choices, nanoseconds=nanoseconds), record=record)
