"""Files of head statistics by name, checked against one another, as arrays that can be averaged over any clips."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from oasis import files
from oasis.cost import uniform_kl
from oasis.grid import Grid
from oasis.heads import KEY, read_heads
from oasis.routing import GLOBAL, Pattern
from oasis.rules import STATISTICS, Choices

Means = Float[np.ndarray, "resamples layers heads patterns"]


@dataclass(frozen=True, kw_only=True, eq=False)
class HeadTable:
    """One heads.csv: `values` per statistic, clip by clip, for `patterns`, which begin with global, whose value is 0.

    A name may be AXIS/NAME, which groups tables that differ in one thing. `pairs` and `loss` per statistic: as in `Choices`.
    """

    name: str
    sha256: str
    model: str
    weights_sha256: str
    timestep: float
    grid: Grid
    clips: tuple[str, ...]
    patterns: tuple[Pattern, ...]
    pairs: Int[np.ndarray, "patterns"]
    values: Mapping[str, Float[np.ndarray, "clips layers heads patterns"]]
    loss: Mapping[str, Float[np.ndarray, "layers heads patterns"]]

    @property
    def axis(self) -> str:
        """What stands before the slash of its name, or nothing."""
        return self.name.partition("/")[0] if "/" in self.name else ""

    def means(self, statistic: str, weights: Float[np.ndarray, "resamples clips"]) -> Means:
        """Return the mean over clips for every row of weights, at least 0 (rounding may leave a KL a hair below)."""
        return np.einsum("rc,clhp->rlhp", weights, self.values[statistic]).clip(min=0)

    def choices(self, loss: Float[np.ndarray, "layers heads patterns"]) -> Choices:
        """Return the input of every rule for these means."""
        return Choices(patterns=self.patterns, pairs=self.pairs, loss=loss)

    def is_empty(self, pattern: int) -> bool:
        """Say whether a pattern holds every token of the grid, so that nothing can lie outside."""
        return uniform_kl(self.patterns[pattern], self.grid) == 0


def read(paths: Mapping[str, Path]) -> list[HeadTable]:
    """Read tables of equal layers, heads and patterns; clips, grids and weights may differ.

    ValueError, one sentence, names the table that does not fit.
    """
    if not paths:
        raise ValueError("there are no tables; at least one heads.csv is needed")
    tables = [_read(name, path) for name, path in paths.items()]
    first = tables[0]
    for other in tables[1:]:
        _check_fits(first, other)
    return tables


def _read(name: str, path: Path) -> HeadTable:
    heads = read_heads(path)
    choices = Choices.of(heads)
    rank = {pattern.name: number for number, pattern in enumerate(choices.patterns)}
    ordered = heads.assign(pattern=heads["pattern"].map(rank)).sort_values(["clip", *KEY[:-1]])
    clips = tuple(sorted(str(clip) for clip in heads["clip"].unique()))
    layers, per_layer, patterns = choices.loss.shape
    values, loss = {}, {}
    for statistic in STATISTICS:
        local = ordered[statistic].to_numpy(np.float64).reshape(len(clips), layers, per_layer, patterns - 1)
        values[statistic] = np.concatenate([np.zeros_like(local[..., :1]), local], axis=-1)
        loss[statistic] = Choices.of(heads, statistic).loss
    row = heads.iloc[0]
    return HeadTable(
        name=name,
        sha256=files.sha256(path),
        model=str(row["model"]),
        weights_sha256=str(row["weights_sha256"]),
        timestep=float(row["timestep"]),
        grid=Grid(int(row["T"]), int(row["H"]), int(row["W"])),
        clips=clips,
        patterns=choices.patterns,
        pairs=choices.pairs,
        values=values,
        loss=loss,
    )


def _check_fits(first: HeadTable, other: HeadTable) -> None:
    heads = [table.values["kl_mean"].shape[1:3] for table in (first, other)]
    if heads[0] != heads[1]:
        raise ValueError(
            f"table {other.name!r} has {heads[1][0]} layers of {heads[1][1]} heads, {first.name!r} has {heads[0][0]} of "
            f"{heads[0][1]}; only tables of equal layers and heads can be compared"
        )
    if first.patterns != other.patterns:
        named = [", ".join(pattern.name for pattern in table.patterns if pattern != GLOBAL) for table in (first, other)]
        raise ValueError(
            f"table {other.name!r} has the patterns {named[1]}, {first.name!r} has {named[0]}; only tables of equal patterns "
            "can be compared"
        )
