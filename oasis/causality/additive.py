"""Whether harms add up: of pairs against their two heads, of whole layers against all their heads."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float

from oasis.bootstrap import replaced
from oasis.causality.rank import RESAMPLES, spearman
from oasis.harms import ALL, Harm

GROUPS = ("pair, one layer", "pair, two layers", "layer")
NUMBERS = ("slope", "r2", "ratio", "spearman")


def sums(rows: Sequence[Harm], statistic: str) -> pd.DataFrame:
    """Return, for each pair or layer and clip, its harm and the sum of its heads' own: group, what, clip, together, apart."""
    single = {(r.clip, r.layers, r.heads, r.patterns): getattr(r, statistic) for r in rows if r.kind == "head"}
    heads = sorted({int(row.heads) for row in rows if row.kind == "head"})
    found = []
    for row in rows:
        if row.kind == "head":
            continue
        layers, patterns = row.layers.split(","), row.patterns.split(",")
        parts = zip(layers, row.heads.split(","), patterns, strict=True)
        if row.heads == ALL:
            parts = zip(layers * len(heads), map(str, heads), patterns * len(heads), strict=True)
        group = GROUPS[2] if row.kind == "layer" else GROUPS[len(set(layers)) - 1]
        found.append(
            {
                **{"group": group, "what": f"{row.layers}:{row.heads}:{row.patterns}", "clip": row.clip},
                **{"together": getattr(row, statistic), "apart": sum(single[row.clip, *part] for part in parts)},
            }
        )
    return pd.DataFrame(found, columns=["group", "what", "clip", "together", "apart"])


def summary(table: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Return for each group how far harms add up, with 95 % intervals over clips and, independently, pairs or layers.

    Points are means over clips. `slope` of the line through the origin by least squares, `r2` the share of the variance of the
    joint harms that the plain sum explains, `ratio` the median of joint over summed harm, `spearman` their rank correlation.
    """
    rows = []
    for group in GROUPS:
        part = table[table["group"] == group]
        if part["what"].nunique() < 2:
            continue
        x, y = (part.pivot(index="clip", columns="what", values=name).to_numpy() for name in ("apart", "together"))
        generator = np.random.default_rng(seed)
        clips = generator.integers(len(x), size=(RESAMPLES, len(x)))
        points = generator.integers(x.shape[1], size=(RESAMPLES, x.shape[1]))
        clips[0], points[0] = np.arange(len(x)), np.arange(x.shape[1])
        draws = _numbers(*(np.take_along_axis(one[clips].mean(axis=1), points, axis=1) for one in (x, y)))
        row: dict[str, object] = {"group": group, "points": x.shape[1], "clips": len(x)}
        for name, values in draws.items():
            low, high = replaced(float(values[0]), values, len(x))
            most = 1.0 if name in ("r2", "spearman") else math.inf
            row |= {name: float(values[0]), f"{name}_low": low, f"{name}_high": min(high, most)}
        rows.append(row)
    columns = [f"{name}{end}" for name in NUMBERS for end in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=["group", "points", "clips", *columns])


def _numbers(
    apart: Float[np.ndarray, "draws points"], together: Float[np.ndarray, "draws points"]
) -> dict[str, Float[np.ndarray, "draws"]]:
    spread = np.square(together - together.mean(axis=1, keepdims=True)).sum(axis=1)
    missed = np.square(together - apart).sum(axis=1)
    return {
        "slope": _over((apart * together).sum(axis=1), np.square(apart).sum(axis=1)),
        "r2": 1 - _over(missed, spread),
        "ratio": np.median(_over(together, apart), axis=1),
        "spearman": spearman(apart, together),
    }


def _over(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Divide; 0 where there is nothing to divide by: harms of 0, or a resample of one point many times."""
    return np.divide(x, y, out=np.zeros_like(x), where=y > 0)
