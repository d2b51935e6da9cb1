"""Head statistics made of chosen numbers, in the form of heads.csv."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from oasis.cost import uniform_kl
from oasis.grid import Grid
from oasis.heads import COLUMNS
from oasis.routing import parse_pattern

GRID = Grid(3, 16, 24)
PATTERNS = ("frame", "window-8x8")


def rows(
    kl: np.ndarray, clips: Sequence[str], *, grid: Grid = GRID, patterns: Sequence[str] = PATTERNS, model: str = "some-model"
) -> pd.DataFrame:
    """Return head statistics for `kl` in nats, "clips layers heads patterns"."""
    layers, heads = kl.shape[1:3]
    found = []
    for (number, clip), layer, head, (place, pattern) in itertools.product(
        enumerate(clips), range(layers), range(heads), enumerate(patterns)
    ):
        value = float(kl[number, layer, head, place])
        uniform = uniform_kl(parse_pattern(pattern), grid)
        found.append(
            {
                **{"model": model, "weights_sha256": "5a" * 32, "clip": clip, "T": grid.t, "H": grid.h, "W": grid.w},
                **{"timestep": 399.0, "layer": layer, "head": head, "pattern": pattern, "kl_mean": value},
                **{"kl_p50": 0.9 * value, "kl_p95": 2 * value, "kl_rel": value / uniform if uniform else 0.0},
                **{"mass_mean": 0.5, "out_err": 0.1 * value, "entropy_mean": 3.0, "dist_t": 1.0, "dist_xy": 4.0},
                **{"self_mass": 0.01, "queries": grid.tokens, "dtype": "float32", "backend": "folded"},
            }
        )
    return pd.DataFrame(found, columns=list(COLUMNS))


def drawn(seed: int, clips: int, *, layers: int = 3, heads: int = 4, noise: float = 0.2, patterns: int = 2) -> np.ndarray:
    """Return random divergences: heads that differ, and clips that scatter around them."""
    generator = np.random.default_rng(seed)
    mean = generator.uniform(0.3, 2.0, (1, layers, heads, patterns))
    return mean * np.exp(noise * generator.normal(size=(clips, layers, heads, patterns)))


def write(path: Path, kl: np.ndarray, clips: Sequence[str] | None = None, **changes: object) -> Path:
    """Write a heads.csv and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    names = [f"clip-{number}" for number in range(len(kl))] if clips is None else clips
    rows(kl, names, **changes).to_csv(path, index=False)  # type: ignore[arg-type]
    return path
