"""Rank correlations of statistics with harm, with bootstrap intervals over clips and heads; arrays in, arrays out."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from einops import rearrange
from jaxtyping import Float, Int
from scipy import stats

from oasis.bootstrap import replaced

RESAMPLES = 2000
Cube = Float[np.ndarray, "clips layers heads patterns"]


class Resamples(NamedTuple):
    """Draws of clips and, independently, of the heads of every layer, each with replacement; all statistics share them.

    Layers stay, as a network has no others: heads are drawn within their layer.
    """

    weights: Float[np.ndarray, "draws clips"]
    heads: Int[np.ndarray, "draws layers heads"]


def resamples(clips: int, layers: int, heads: int, *, seed: int = 0, draws: int = RESAMPLES) -> Resamples:
    """Return `draws` resamples; the first of them is the sample itself."""
    generator = np.random.default_rng(seed)
    chosen = generator.integers(clips, size=(draws, clips))
    weights = np.stack([(chosen == clip).mean(axis=1) for clip in range(clips)], axis=1)
    which = generator.integers(heads, size=(draws, layers, heads))
    weights[0], which[0] = 1 / clips, np.arange(heads)
    return Resamples(weights, which)


def drawn(cube: Cube, by: Resamples) -> Float[np.ndarray, "draws layers heads patterns"]:
    """Return the mean over the drawn clips of the drawn heads."""
    means = np.einsum("rc,clhp->rlhp", by.weights, cube, optimize=True)
    return np.take_along_axis(means, by.heads[..., None], axis=2)


def spearman(x: Float[np.ndarray, "draws points"], y: Float[np.ndarray, "draws points"]) -> Float[np.ndarray, "draws"]:
    """Return Spearman's correlation of every draw; 0 where one side is constant, which orders nothing."""
    return spearman_within(x[:, None], y[:, None])


def spearman_within(
    x: Float[np.ndarray, "draws groups points"], y: Float[np.ndarray, "draws groups points"]
) -> Float[np.ndarray, "draws"]:
    """Return the correlation of ranks within groups: what is left of Spearman's when groups may differ in level."""
    return _correlation(_ranks(x), _ranks(y))


def kendall(x: Float[np.ndarray, "points"], y: Float[np.ndarray, "points"]) -> float:
    """Return Kendall's tau-b, 0 where one side is constant."""
    tau = float(stats.kendalltau(x, y).statistic)
    return tau if np.isfinite(tau) else 0.0


def correlations(
    statistics: Mapping[str, Cube], harm: Cube, names: tuple[str, ...], *, reference: str, seed: int = 0
) -> list[dict[str, object]]:
    """Return a row for each statistic, each pattern of `names` and all together, overall and within layers and patterns.

    A point is a head under a pattern, by its mean over clips. `spearman` with `low`, `high`, `kendall` (overall only), and
    `more` than the statistic `reference` with `more_low`, `more_high` from the same resamples. As a control there are random
    numbers, drawn anew in each resample.
    """
    by = resamples(*harm.shape[:3], seed=seed)
    random = np.random.default_rng([seed, 1]).random((len(by.weights), *harm.shape[1:]))
    found = {name: drawn(cube, by) for name, cube in statistics.items()} | {"random": random}
    target = drawn(harm, by)
    rows: list[dict[str, object]] = []
    groups = {name: [number] for number, name in enumerate(names)}
    for pattern, numbers in groups.items() if len(names) == 1 else {**groups, "all": list(range(len(names)))}.items():
        for control in ("none", "within"):
            ordered = _ranks(_grouped(target[..., numbers], control))
            each = {name: _correlation(_ranks(_grouped(cube[..., numbers], control)), ordered) for name, cube in found.items()}
            for name, draws in each.items():
                more = draws - each[reference]
                shown = float(draws.mean() if name == "random" else draws[0])
                # Random numbers are drawn anew each time and owe nothing to the clips.
                low, high = replaced(shown, draws, 1 if name == "random" else len(harm))
                more_low, more_high = replaced(shown - float(each[reference][0]), more, len(harm))
                low, high = max(low, -1.0), min(high, 1.0)
                one = [cube[0][..., numbers].ravel() for cube in (found[name], target)]
                tau = kendall(*one) if control == "none" and name != "random" else None
                rows.append(
                    {
                        **{"pattern": pattern, "control": control, "statistic": name},
                        **{"spearman": shown, "low": low, "high": high, "kendall": tau},
                        **{"more": shown - float(each[reference][0]), "more_low": more_low, "more_high": more_high},
                        **{"clips": harm.shape[0], "points": len(one[0])},
                    }
                )
    return rows


def _grouped(cube: Float[np.ndarray, "draws layers heads patterns"], control: str) -> Float[np.ndarray, "draws groups points"]:
    return rearrange(cube, "r l h p -> r 1 (l h p)" if control == "none" else "r l h p -> r (l p) h")


def _ranks(values: Float[np.ndarray, "draws groups points"]) -> Float[np.ndarray, "draws all"]:
    """Return the ranks of points within their group, less those of the group's middle."""
    ranks = stats.rankdata(values, axis=2)
    return rearrange(ranks - ranks.mean(axis=2, keepdims=True), "draws groups points -> draws (groups points)")


def _correlation(x: Float[np.ndarray, "draws points"], y: Float[np.ndarray, "draws points"]) -> Float[np.ndarray, "draws"]:
    """Return Pearson's correlation of numbers whose mean is 0."""
    scale = np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
    return np.divide((x * y).sum(axis=1), scale, out=np.zeros(len(x)), where=scale > 0)
