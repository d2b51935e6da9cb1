"""The files of a profiled run: read, checked against one another, and summed up per head."""

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from oasis.cost import uniform_kl
from oasis.grid import Grid
from oasis.heads import read_heads
from oasis.routing import RoutingTable, parse_pattern

PROFILES = {"clip": str, "layer": int, "head": int, "dt": int, "mass": float}
TEXT = {"clip": str, "layer": int, "head": int, "text_mass": float}
MEANS = ("kl_mean", "kl_rel", "mass_mean", "out_err", "entropy_mean", "dist_t", "dist_xy")
Looks = Mapping[str, NDArray[Any]]
FILES = ("heads.csv", "routing.json", "profiles.csv", "looks.npz", "run.json")
TEXT_FILE = "text.csv"
"""A sixth file, of models whose self-attention sees text beside the video."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One profiled run: head statistics, frame-offset profiles, the routing, attention maps, and the record of how.

    `text`: attention mass on text keys, None where the self-attention sees the video alone.
    """

    heads: pd.DataFrame
    profiles: pd.DataFrame
    table: RoutingTable
    looks: Looks
    record: Mapping[str, Any]
    text: pd.DataFrame | None = None

    @property
    def files(self) -> tuple[str, ...]:
        """The names of its files."""
        return FILES if self.text is None else (*FILES, TEXT_FILE)


def read_run(folder: Path) -> Run:
    """Read the five files of a run's folder; ValueError names the file that is missing or does not fit."""
    for name in FILES:
        if not (folder / name).is_file():
            raise ValueError(f"{folder}: {name} is missing; a run's folder holds {', '.join(FILES)}")
    heads = read_heads(folder / "heads.csv")
    grid = grid_of(heads)
    for name in heads["pattern"].unique():
        if uniform_kl(parse_pattern(name), grid) == 0:  # the pattern holds every token: there is nothing to divide by
            heads.loc[heads["pattern"] == name, "kl_rel"] = np.nan
    table = RoutingTable.load(folder / "routing.json")
    profiled = set(zip(heads["layer"], heads["head"], strict=True))
    routed = {(layer, head) for layer in range(len(table.layers)) for head in range(table.heads)}
    if profiled != routed:
        raise ValueError(
            f"{folder}: heads.csv and routing.json disagree about the heads: {len(profiled)} and {len(routed)},"
            f" {len(profiled ^ routed)} of them in one file only"
        )
    weights = heads["weights_sha256"].iloc[0]
    if weights != table.weights_sha256:
        raise ValueError(f"{folder}: routing.json belongs to weights {table.weights_sha256}, heads.csv to {weights}")
    profiles = _read_table(folder / "profiles.csv", PROFILES)
    looks = _read_looks(folder / "looks.npz")
    known = set(zip(profiles["layer"], profiles["head"], strict=True))
    for layer, head in looks["heads"].tolist():
        if (layer, head) not in known:
            raise ValueError(f"{folder}: layer {layer}, head {head} is not in profiles.csv, but in looks.npz")
    text = _read_text(folder / TEXT_FILE, heads) if table.text else None
    return Run(heads=heads, profiles=profiles, table=table, looks=looks, record=_read_record(folder / "run.json"), text=text)


def head_means(heads: pd.DataFrame) -> pd.DataFrame:
    """Return the mean over clips of each statistic, one row per (layer, head, pattern), sorted."""
    return heads.groupby(["layer", "head", "pattern"], as_index=False)[list(MEANS)].mean()


def text_means(text: pd.DataFrame) -> pd.DataFrame:
    """Return the text mass of each layer (layer, mean, least, most), over its heads; each head is a mean over clips."""
    heads = text.groupby(["layer", "head"], as_index=False)["text_mass"].mean()
    return heads.groupby("layer", as_index=False)["text_mass"].agg(mean="mean", least="min", most="max")


def grid_of(heads: pd.DataFrame) -> Grid:
    """Return the token grid of the clips, which is one for all rows of a heads.csv."""
    first = heads.iloc[0]
    return Grid(int(first["T"]), int(first["H"]), int(first["W"]))


def _read_table(path: Path, columns: Mapping[str, type]) -> pd.DataFrame:
    try:
        # A clip may be called "NA": no text stands for a missing value.
        rows = pd.read_csv(path, dtype=dict(columns), keep_default_na=False)
    except (ValueError, OSError) as error:
        raise ValueError(f"{path}: not a table of {path.stem} ({error})") from error
    if list(rows.columns) != list(columns) or rows.empty:
        raise ValueError(f"{path}: needs rows with the columns {', '.join(columns)}, got {', '.join(rows.columns)}")
    return rows


def _read_text(path: Path, heads: pd.DataFrame) -> pd.DataFrame:
    if not path.is_file():
        raise ValueError(f"{path}: no such file, but the patterns of heads.csv have text tokens")
    rows = _read_table(path, TEXT)
    key = ["clip", "layer", "head"]
    wanted = heads[key].drop_duplicates().sort_values(key).to_numpy().tolist()
    if rows[key].sort_values(key).to_numpy().tolist() != wanted:
        raise ValueError(
            f"{path}: must have every clip, layer and head of heads.csv once ({len(wanted)} rows, got {len(rows)})"
        )
    if not rows["text_mass"].between(0, 1).all():
        raise ValueError(f"{path}: column 'text_mass' must lie between 0 and 1")
    return rows


def _read_looks(path: Path) -> Looks:
    try:
        with np.load(path, allow_pickle=False) as archive:
            looks = {name: archive[name] for name in ("frames", "query", "heads", "labels", "attention", "clip")}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: not a file of attention maps ({error})") from error
    ranks = {"frames": 4, "query": 1, "heads": 2, "labels": 1, "attention": 4, "clip": 0}
    ranks_fit = all(looks[name].ndim == rank for name, rank in ranks.items())
    if not ranks_fit or looks["attention"].shape[:2] != (len(looks["heads"]), len(looks["frames"])):
        raise ValueError(f"{path}: shapes do not fit: { {name: value.shape for name, value in looks.items()} }")
    if not (looks["query"] < looks["attention"].shape[1:]).all() or (looks["query"] < 0).any():
        raise ValueError(f"{path}: query {looks['query'].tolist()} lies outside {looks['attention'].shape[1:]}")
    return looks


def _read_record(path: Path) -> Mapping[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not a JSON file ({error})") from error
    if not isinstance(record, dict) or not isinstance(record.get("trained"), bool):
        raise ValueError(f"{path}: must be a JSON object whose field 'trained' is true or false")
    return record
