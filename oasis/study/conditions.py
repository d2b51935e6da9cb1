"""Conditions under which a model is probed to see whether its heads stay the same: one thing differs from the reference."""

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from torch import Tensor
from tqdm import tqdm

import oasis
from oasis import files, probe
from oasis.data import builtin
from oasis.data.clips import as_tensor
from oasis.degrade import named
from oasis.heads import read_heads
from oasis.model import Loaded, load_model
from oasis.routing import GLOBAL, RoutingTable, parse_pattern
from oasis.score.fingerprint import source_sha256

PATTERNS = ("frame", "window-8x8")
SOURCES = ("attention", "data", "degrade", "model", "heads.py", "probe.py")
"""What heads.csv depends on besides the condition."""
LISTED = ("axis", "name", "model", "weights_sha256", "timestep", "degradation", "seed", "frames")


@dataclass(frozen=True, kw_only=True)
class Condition:
    """How heads are probed; its table is called AXIS/NAME.

    `weights`: what `load_model` takes, empty for the model under study; they are probed dense. `timestep`: 0..1000, None for
    the model's own. `degradation` and `seed` as for `oasis degrade`, of the whole clip, of which `frames` from the beginning
    and `crop` (height, width of LQ pixels) from the middle are taken. `clips`: built-in ones, all training clips if empty;
    `part_of`: an earlier table that holds them under the same condition, so that nothing is probed anew.
    """

    axis: str
    name: str
    weights: str = ""
    timestep: float | None = None
    degradation: str = "standard"
    seed: int = 0
    frames: int = 9
    crop: tuple[int, int] = (32, 48)
    clips: tuple[str, ...] = ()
    part_of: str = ""

    @property
    def table(self) -> str:
        """The name of its table."""
        return f"{self.axis}/{self.name}"


REFERENCE = Condition(axis="reference", name="standard")
CONDITIONS = (
    REFERENCE,
    *(
        replace(REFERENCE, axis="content", name=name, part_of=REFERENCE.table, clips=clips)
        for name, clips in {
            "one-photo": ("astronaut-zoom", "china-pan", "coffee-turn", "ihc-pan"),
            "layers-and-cuts": ("motorcycle-parallax", "astronaut-over-china", "page-over-brick", "rocket-hubble-cut"),
        }.items()
    ),
    *(
        replace(REFERENCE, axis="degradation", name=name, degradation=name)
        for name in ("bi", "standard-inconsistent", "inconsistent")
    ),
    *(replace(REFERENCE, axis="resolution", name=f"{h}x{w}", crop=(h, w)) for h, w in ((24, 40), (48, 80))),
    *(replace(REFERENCE, axis="length", name=f"{frames}-frames", frames=frames) for frames in (5, 17)),
    *(replace(REFERENCE, axis="seed", name=f"seed-{seed}", seed=seed) for seed in (1, 2)),
    *(replace(REFERENCE, axis="timestep", name=f"{step}", timestep=float(step)) for step in (0, 200, 1000)),
)
TRAINING = {
    "tiny": (
        replace(REFERENCE, axis="training", name="routed", weights="tiny-routed"),
        replace(REFERENCE, axis="untrained", name="random", weights="random-tiny"),  # an axis of its own: a control
    )
}
"""Other stages of the training of a model, by its name."""


def of(model: str) -> tuple[Condition, ...]:
    """Return the conditions for a model: CONDITIONS, and the stages of its training where they are known."""
    return (*CONDITIONS, *TRAINING.get(model, ()))


def measure(
    model: str,
    work: Path,
    conditions: Sequence[Condition],
    *,
    patterns: Sequence[str] = PATTERNS,
    device: str = "cpu",
) -> dict[str, Path]:
    """Probe a model under every condition and return the tables by name, in their order.

    Each is WORK/conditions/AXIS/NAME/heads.csv, whole or absent, beside key.json, which holds all that decides it; a table
    whose key fits is kept. conditions.csv lists them all. ValueError if a condition does not fit the clips or the model.
    """
    folder = work / "conditions"
    folder.mkdir(parents=True, exist_ok=True)
    clean = cache(lambda name: builtin.make(name).hr)
    tables: dict[str, Path] = {}
    keys = {}
    with files.alone(folder), tqdm(total=len(conditions), desc="conditions", unit="condition", disable=None) as progress:
        for weights, group in itertools.groupby(conditions, key=lambda condition: condition.weights):
            loaded = _dense(weights or model, device)
            for condition in group:
                place = folder / condition.axis / condition.name
                key = keys[condition.table] = _key(loaded, condition, patterns, device)
                if not _holds(place, key):
                    whole = tables.get(condition.part_of)
                    heads = _part(whole, condition) if whole else _probed(loaded, condition, clean, patterns)
                    _write(place, heads, key)
                tables[condition.table] = place / "heads.csv"
                progress.update()
        _list(folder / "conditions.csv", keys, tables)
    return tables


def _key(loaded: Loaded, condition: Condition, patterns: Sequence[str], device: str) -> dict[str, Any]:
    """Return everything that decides a table, as JSON gives it back."""
    key = {
        **asdict(condition),
        "clips": condition.clips or builtin.names("train"),
        "model": loaded.model.config.name,
        "weights_sha256": loaded.weights_sha256,
        "timestep": loaded.model.config.timestep if condition.timestep is None else condition.timestep,
        "patterns": patterns,
        "device": device,
        "source_sha256": source_sha256(SOURCES),
    }
    return json.loads(json.dumps(key))


def _holds(place: Path, key: Mapping[str, Any]) -> bool:
    try:
        return json.loads((place / "key.json").read_text(encoding="utf-8")) == key and (place / "heads.csv").is_file()
    except (FileNotFoundError, ValueError):
        return False


def _write(place: Path, heads: pd.DataFrame, key: Mapping[str, Any]) -> None:
    (place / "key.json").unlink(missing_ok=True)  # a key never stands beside a table that it does not describe
    with files.replacing_folder(place) as folder:
        heads.to_csv(folder / "heads.csv", index=False, float_format="%.9g", lineterminator="\n")
        read_heads(folder / "heads.csv")  # what does not fit fails here, not where it is read
        files.write_text(folder / "key.json", json.dumps(key, indent=1) + "\n")


def _list(path: Path, keys: Mapping[str, Mapping[str, Any]], tables: Mapping[str, Path]) -> None:
    rows = [
        {
            "table": name,
            **{part: key[part] for part in LISTED},
            "crop": "x".join(map(str, key["crop"])),
            "clips": " ".join(key["clips"]),
            "heads_csv_sha256": files.sha256(tables[name]),
        }
        for name, key in keys.items()
    ]
    with files.replacing(path) as whole:
        pd.DataFrame(rows).to_csv(whole, index=False, lineterminator="\n")


def _part(whole: Path, condition: Condition) -> pd.DataFrame:
    heads = read_heads(whole)
    return heads[heads["clip"].isin(condition.clips)]


def _probed(
    loaded: Loaded, condition: Condition, clean: Callable[[str], UInt8[np.ndarray, "t h w 3"]], patterns: Sequence[str]
) -> pd.DataFrame:
    model = loaded.model
    own = model.config
    if condition.timestep is not None:
        model.config = replace(own, timestep=condition.timestep)
    model.fold_constants()
    try:
        names = condition.clips or builtin.names("train")
        taken = ((name, _taken(name, clean(name), condition)) for name in names)
        return probe.probe(probe.Own(loaded), taken, [parse_pattern(pattern) for pattern in patterns]).heads
    finally:
        model.config = own


def _taken(name: str, hr: UInt8[np.ndarray, "t h w 3"], condition: Condition) -> UInt8[Tensor, "t 3 y x"]:
    """Degrade a clip as a whole and return what the condition takes of it."""
    frames, height, width = hr.shape[:3]
    generator, noise = named.seeded(name, condition.seed)
    recipe = named.draw(condition.degradation, generator, frames, height, width)
    lq = as_tensor(np.stack(list(named.apply(recipe, iter(hr), noise))))
    wanted = (condition.frames, *condition.crop)
    have = (frames, *lq.shape[-2:])
    if any(not 1 <= size <= most for size, most in zip(wanted, have, strict=True)):
        raise ValueError(
            f"condition {condition.table!r} takes {'x'.join(map(str, wanted))} (frames, height, width) of LQ clips of "
            f"{'x'.join(map(str, have))}; allowed: at least 1 and no more than they have"
        )
    top, left = (have[1] - wanted[1]) // 2, (have[2] - wanted[2]) // 2
    return lq[: wanted[0], :, top : top + wanted[1], left : left + wanted[2]]


def _dense(source: str, device: str) -> Loaded:
    """Load weights as a dense network, also where they come with a routing."""
    loaded = load_model(source)
    config = loaded.model.config
    table = RoutingTable(
        model=config.name,
        weights_sha256=loaded.weights_sha256,
        patterns={"G": GLOBAL},
        layers=("G" * config.dit.heads,) * config.dit.layers,
        rule={"name": "uniform", "pattern": GLOBAL.name},
        made_with={"oasis": oasis.__version__},
    )
    loaded.model.to(device).dit.route(table)
    return loaded
