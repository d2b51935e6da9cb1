"""A run made of structured numbers: heads that differ, clips that differ a little, a moving picture."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from oasis.cost import uniform_kl
from oasis.grid import Grid
from oasis.heads import COLUMNS
from oasis.routing import FRAME, GLOBAL, RoutingTable, window

PATTERNS = {"G": GLOBAL, "F": FRAME, "W": window(8, 8)}
WEIGHTS = "5a" * 32
SMALL = Grid(3, 8, 12)


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes the five files of a run into a fresh folder."""

    def make(
        *,
        layers: int = 2,
        heads: int = 3,
        clips: tuple[str, ...] = ("pan", "zoom"),
        grid: Grid = SMALL,
        trained: bool = True,
    ) -> Path:
        folder = tmp_path / f"run-{layers}x{heads}-{len(clips)}"
        folder.mkdir()
        write_run(folder, layers=layers, heads=heads, clips=clips, grid=grid, trained=trained)
        return folder

    return make


def write_run(folder: Path, *, layers: int, heads: int, clips: tuple[str, ...], grid: Grid, trained: bool) -> None:
    random = np.random.default_rng(7)
    # Outside mass per head: early layers look wide, later ones specialise, heads of a layer differ.
    depth = np.linspace(0.2, 1.0, layers)[:, None]
    kind = random.choice(3, size=(layers, heads), p=(0.3, 0.35, 0.35))
    sharp = depth * random.uniform(0.5, 1.0, (layers, heads))
    rows, profiles = [], []
    for clip in clips:
        for layer, head in np.ndindex(layers, heads):
            focus = sharp[layer, head] * random.uniform(0.92, 1.0)
            reach = np.exp(-np.abs(np.arange(1 - grid.t, grid.t)) * (3 * focus if kind[layer, head] == 1 else 0.1))
            if head % 3 == 2:
                reach[grid.t :] *= 0.6  # some heads prefer the past
            profiles += [
                (clip, layer, head, dt, mass / reach.sum()) for dt, mass in zip(range(1 - grid.t, grid.t), reach, strict=True)
            ]
            for number, pattern in enumerate((FRAME, PATTERNS["W"]), start=1):
                uniform = uniform_kl(pattern, grid)
                rel = 1 - 0.95 * focus if kind[layer, head] == number else 1.0 - 0.3 * focus * random.uniform(-0.5, 1)
                kl = uniform * rel
                entropy = np.log(grid.tokens) * (1 - 0.5 * focus * random.uniform(0.4, 1))
                far = [1 - focus if kind[layer, head] == axis else 0.9 for axis in (1, 2)]
                rows.append(
                    {
                        "model": "tiny-synthetic",
                        "weights_sha256": WEIGHTS,
                        "clip": clip,
                        **dict(zip("THW", (grid.t, grid.h, grid.w), strict=True)),
                        "timestep": 1000,
                        "layer": layer,
                        "head": head,
                        "pattern": pattern.name,
                        "kl_mean": kl,
                        "kl_p50": 0.9 * kl,
                        "kl_p95": 2 * kl,
                        "kl_rel": rel if uniform else 0.0,
                        "mass_mean": np.exp(-0.9 * kl),
                        "out_err": 1 - np.exp(-kl),
                        "entropy_mean": entropy,
                        "dist_t": far[0] * grid.t / 3,
                        "dist_xy": far[1] * grid.w / 3,
                        "self_mass": 0.01,
                        "queries": grid.tokens,
                        "dtype": "float32",
                        "backend": "folded",
                    }
                )
    pd.DataFrame(rows)[list(COLUMNS)].to_csv(folder / "heads.csv", index=False)
    pd.DataFrame(profiles, columns=["clip", "layer", "head", "dt", "mass"]).to_csv(folder / "profiles.csv", index=False)
    RoutingTable(
        model="tiny-synthetic",
        weights_sha256=WEIGHTS,
        patterns=PATTERNS,
        layers=tuple("".join("GFW"[number] for number in row) for row in kind),
        rule={"name": "threshold", "tau": 0.5},
        made_with={"oasis": "0.1.0"},
    ).save(folder / "routing.json")
    _write_looks(folder / "looks.npz", clips[0], layers, heads, grid)
    record = {
        "model": "tiny-synthetic",
        "weights_sha256": WEIGHTS,
        "trained": trained,
        "data": "builtin",
        "clips": list(clips),
        "grid": str(grid),
        "versions": {"oasis": "0.1.0", "python": "3.11.2"},
        "device": "cpu",
        "backend": "folded",
        "seconds": 12.5,
        "command": "python analysis/profile_heads.py",
        "rule": "threshold:tau=0.5",
    }
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")


def _write_looks(path: Path, clip: str, layers: int, heads: int, grid: Grid) -> None:
    t, y, x = np.meshgrid(np.arange(grid.t), np.arange(grid.h), np.arange(grid.w), indexing="ij")
    query = np.array([grid.t // 2, grid.h // 3, grid.w // 3])
    away = [((axis - at) / size) ** 2 for axis, at, size in zip((t, y, x), query, (grid.t, grid.h, grid.w), strict=True)]
    texture = 1 + 0.5 * np.sin(x * 0.9) * np.cos(y * 0.7)
    maps = [
        np.exp(-0.2 * sum(away)),
        np.exp(-60 * away[0] - 2 * away[1] - 2 * away[2]),
        np.exp(-60 * (away[1] + away[2]) - away[0]),
    ]
    attention = np.stack([one * texture / (one * texture).sum() for one in maps]).astype(np.float32)
    frame, row, column = np.meshgrid(np.arange(grid.t), np.arange(grid.h * 8), np.arange(grid.w * 8), indexing="ij")
    disc = (row - grid.h * 3) ** 2 + (column - grid.w * 2 - 12 * frame) ** 2 < (grid.h * 1.5) ** 2
    picture = np.stack([80 + 100 * row / row.max(), 120 + 60 * np.sin(column / 20), np.where(disc, 230, 60)], axis=-1)
    np.savez(
        path,
        frames=picture.clip(0, 255).astype(np.uint8),
        query=query,
        heads=np.array([(0, 0), (layers // 2, heads // 2), (layers - 1, heads - 1)]),
        labels=np.array(["most global", "most intra-frame", "most local"]),
        attention=attention,
        clip=np.array(clip),
    )
