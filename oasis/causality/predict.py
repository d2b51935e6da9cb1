"""Statistics of heads beside the harm that the same heads do, read from the files of a run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from oasis import harms
from oasis.causality.rank import Cube, correlations
from oasis.grid import Grid
from oasis.harms import Harm
from oasis.heads import KEY, read_heads
from oasis.routing import parse_pattern

KL = "kl_mean"
STATISTICS = {
    "kl_mean": "KL",
    "kl_rel": "relative KL",
    "mass_outside": "mass outside",
    "entropy": "entropy",
    "dist": "distance",
    "out_err": "relative output error",
    "out_change": "output change",
    "write_change": "written change",
    "depth": "layers left (control)",
    "random": "random (control)",
}
"""Every predictor, and its label; where more should mean more harm."""
CONTROLS = ("depth", "random")
HARMS = {"latent_mse": "latent MSE", "pixel_mse": "pixel MSE", "psnr_y_loss": "loss of psnr@y"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """What a run measured: arrays "clips layers heads patterns" of statistics and of harms, and all rows of harm."""

    clips: tuple[str, ...]
    patterns: tuple[str, ...]
    statistics: dict[str, Cube]
    harms: dict[str, Cube]
    rows: list[Harm]
    record: dict[str, Any]


def read(folder: Path) -> Measured:
    """Read heads.csv, changes.csv and harms.csv of one run; ValueError if they do not belong together."""
    heads = read_heads(folder / "heads.csv")
    rows, record = harms.read(folder / "harms.csv")
    found, about = harms.read_changes(folder / "changes.csv")
    if {**about, "kind": record["kind"]} != record or record["weights_sha256"] != heads["weights_sha256"].iloc[0]:
        raise ValueError(f"{folder}: heads.csv, changes.csv and harms.csv are not of one run; measure again")
    clips, patterns = sorted(set(heads["clip"])), sorted(set(heads["pattern"]))
    layers, per_layer = int(heads["layer"].max()) + 1, int(heads["head"].max()) + 1
    shape = (layers, per_layer)
    changes = pd.DataFrame(found)
    statistics = {name: _cube(heads, name) for name in ("kl_mean", "kl_rel", "out_err")}
    statistics |= {"mass_outside": 1 - _cube(heads, "mass_mean"), "entropy": _cube(heads, "entropy_mean")}
    statistics |= {"dist": _distances(heads, patterns)}
    statistics |= {name: _cube(changes, name) for name in ("out_change", "write_change")}
    depth = np.arange(layers, 0, -1.0)[None, :, None, None]
    statistics["depth"] = np.broadcast_to(depth, statistics[KL].shape)
    known = [name for name in HARMS if all(getattr(row, name) is not None for row in rows)]
    return Measured(
        clips=tuple(clips),
        patterns=tuple(patterns),
        statistics=statistics,
        harms={name: harms.of_heads(rows, name, clips, shape, patterns) for name in known},
        rows=rows,
        record=record,
    )


def table(measured: Measured) -> pd.DataFrame:
    """Return how well every statistic orders every kind of harm; a row as `rank.correlations` makes them."""
    parts = []
    for name, cube in measured.harms.items():
        part = pd.DataFrame(correlations(measured.statistics, cube, measured.patterns, reference=KL))
        part.insert(0, "harm", name)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def _cube(rows: pd.DataFrame, name: str) -> Cube:
    """Return a column as an array whose axes are clips, layers, heads and patterns, each in order."""
    ordered = rows.sort_values(["clip", *KEY[:3]])
    shape = [rows[axis].nunique() for axis in ("clip", *KEY[:3])]
    return ordered[name].to_numpy(np.float64).reshape(shape)


def _distances(heads: pd.DataFrame, patterns: list[str]) -> Cube:
    """Return distances along the axis that each pattern cuts, as shares of those of a head that looks everywhere equally."""
    grid = Grid(*(int(heads[axis].iloc[0]) for axis in ("T", "H", "W")))
    t, y, x = (np.abs(np.subtract.outer(np.arange(n), np.arange(n))) for n in (grid.t, grid.h, grid.w))
    widest = {"dist_t": t.mean(), "dist_xy": np.hypot(y[:, :, None, None], x).mean()}
    columns = ["dist_t" if parse_pattern(name).kind in ("frame", "neighbour") else "dist_xy" for name in patterns]
    cubes = {name: _cube(heads, name) / max(widest[name], 1e-12) for name in set(columns)}
    return np.stack([cubes[name][..., number] for number, name in enumerate(columns)], axis=-1)
