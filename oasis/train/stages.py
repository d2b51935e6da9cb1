"""The stages of a training run, as data: what learns, from which crops, by which losses."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from oasis import files
from oasis.train.corpus import CropSize

Trained = Literal["decoder", "transformer", "all"]
LOSSES = ("latent", "pixel", "gradient", "frames", "warped", "perceptual")
"""Names of losses, in the order of the log's columns; `objective` says what each is."""
HIGHEST_RATE = 0.1


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Some steps with one goal.

    `trains`: the `decoder` learns to reconstruct HR clips from their noisy latents; the `transformer` learns through the frozen
    decoder; `all` learn together. `losses` are weights by name. The learning rate warms up over `warmup` steps and falls to a
    tenth on a cosine. A batch is split into `accumulate` parts whose gradients are added up.
    """

    name: str
    trains: Trained
    steps: int
    learning_rate: float
    sizes: tuple[CropSize, ...]
    losses: Mapping[str, float]
    warmup: int = 100
    accumulate: int = 1

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9-]+", self.name):
            raise ValueError(f"field 'name' is {self.name!r}; allowed: letters, digits and hyphens")
        if self.trains not in get_args(Trained):
            raise ValueError(f"field 'trains' is {self.trains!r}; allowed: {', '.join(get_args(Trained))}")
        for field, least in (("steps", 1), ("warmup", 0), ("accumulate", 1)):
            value = getattr(self, field)
            if type(value) is not int or value < least:
                raise ValueError(f"field {field!r} is {value!r}; allowed: a whole number of at least {least}")
        if not _is_number(self.learning_rate) or not 0 < self.learning_rate <= HIGHEST_RATE:
            raise ValueError(f"field 'learning_rate' is {self.learning_rate!r}; allowed: above 0, at most {HIGHEST_RATE}")
        self._check_losses()
        if not self.sizes:
            raise ValueError("field 'sizes' is empty; allowed: at least one size of crops")
        for size in self.sizes:
            _check_size(size)
            if size.batch % self.accumulate:
                raise ValueError(f"field 'accumulate' is {self.accumulate}; it must divide the batch of {size.batch} crops")

    def _check_losses(self) -> None:
        if not self.losses:
            raise ValueError(f"field 'losses' is empty; allowed: weights of {', '.join(LOSSES)}")
        for name, weight in self.losses.items():
            if name not in LOSSES:
                raise ValueError(f"field 'losses' has {name!r}; allowed: {', '.join(LOSSES)}")
            if not _is_number(weight) or weight <= 0:
                raise ValueError(f"field 'losses': the weight of {name!r} is {weight!r}; allowed: a number above 0")
        if self.trains == "decoder" and "latent" in self.losses:
            raise ValueError("field 'losses': the decoder writes no latents, so it has no loss 'latent'")


def _check_size(size: CropSize) -> None:
    for field in ("batch", "frames", "height", "width"):
        value = getattr(size, field)
        if type(value) is not int or value < 1:
            raise ValueError(f"field 'sizes': {field} is {value!r}; allowed: a whole number of at least 1")
    if size.frames % 4 != 1 or size.height % 8 or size.width % 8:
        raise ValueError(
            f"field 'sizes': {size.frames} frames of {size.width}x{size.height} pixels; allowed: 4k+1 frames, "
            "sides that 8 divides"
        )


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def moving(stages: Sequence[Stage]) -> bool:
    """Return whether a loss needs the motion of crops."""
    return any("warped" in stage.losses for stage in stages)


def write(path: Path, stages: Sequence[Stage]) -> None:
    """Write stages as JSON, which `read` takes."""
    files.write_text(path, json.dumps([asdict(stage) for stage in stages], indent=2) + "\n")


def read(path: Path) -> tuple[Stage, ...]:
    """Read stages; ValueError names the file, the stage and the field that does not fit."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(data, list) or not data:
            raise ValueError("must hold a list of stages")
        found = tuple(_read(stage, number) for number, stage in enumerate(data))
        names = [stage.name for stage in found]
        for number, name in enumerate(names):
            if name in names[:number]:  # the log knows stages by name
                raise ValueError(f"stage {number}: field 'name' is {name!r}, as before; every stage needs a name of its own")
        return found
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _read(data: Any, number: int) -> Stage:
    where = f"stage {number}"
    try:
        values = _fields(data, Stage)
        sizes = values["sizes"]
        if not isinstance(sizes, list):
            raise ValueError(f"field 'sizes' must be a list, got {sizes!r}")
        if type(values["name"]) is not str or not isinstance(values["losses"], dict):
            raise ValueError("field 'name' must be a text and field 'losses' an object")
        values["sizes"] = tuple(CropSize(**_fields(size, CropSize)) for size in sizes)
        return Stage(**values)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _fields(data: Any, kind: type) -> dict[str, Any]:
    names = set(kind.__dataclass_fields__)  # type: ignore[attr-defined]
    if not isinstance(data, dict) or set(data) != names:
        raise ValueError(f"must be an object with exactly the fields {', '.join(sorted(names))}, got {data!r}")
    return dict(data)
