"""Every degradation x4 under one name: a name and a clip's size give a recipe, a recipe and frames give the low quality."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from oasis.degrade import classic, moderate, reading, second_order
from oasis.degrade.stages import Watch, unwatched
from oasis.degrade.variants import VARIANTS

FORMAT, SCALE = reading.FORMAT, classic.SCALE
Pixels = UInt8[ndarray, "h w 3"]
FIXED: dict[str, Callable[[Pixels], Pixels]] = {"bi": classic.bi, "bd": lambda frame: classic.bd(frame, "mmagic")}
MODERATE = {"standard": False, "standard-inconsistent": True}
NAMES = (
    *MODERATE,
    *("consistent", "consistent-frozen", "inconsistent", "inconsistent-iid", "realbasicvsr", "dove", "consistent-dove"),
    *FIXED,
)


def draw(name: str, generator: np.random.Generator, frames: int, height: int, width: int) -> dict[str, Any]:
    """Draw the recipe of a clip of `frames` frames of `height` x `width` pixels; equal generators give equal recipes.

    It is what JSON can hold: `format`, `name`, the sizes, and `drawn`, what `moderate.draw` or `second_order.draw` give, empty
    for the fixed `bi` and `bd` (in the phase of mmagic). ValueError for an unknown name, or a side that is no multiple of 4.
    """
    if name not in NAMES:
        raise ValueError(f"there is no degradation {name!r}; allowed: {', '.join(NAMES)}")
    if frames < 1 or min(height, width) < SCALE or height % SCALE or width % SCALE:
        raise ValueError(
            f"a clip of {frames} frames of {width}x{height} pixels cannot be degraded: at least one frame and sides that are "
            f"multiples of {SCALE} are needed; crop their right and bottom first"
        )
    if name in MODERATE:
        drawn = moderate.draw(generator, frames, inconsistent=MODERATE[name])
    else:
        drawn = {} if name in FIXED else second_order.draw(generator, frames, height, width, VARIANTS[name])
    return {"format": FORMAT, "name": name, "frames": frames, "height": height, "width": width, "drawn": drawn}


def apply(
    recipe: Mapping[str, Any], frames: Iterable[Pixels], seed: int, watch: Watch = unwatched
) -> Iterator[UInt8[ndarray, "h/4 w/4 3"]]:
    """Yield the degraded frames of a clip that a recipe was drawn for; equal arguments give equal bytes anywhere.

    `seed` is that of the noise; `watch` may look at the frames after every step. ValueError if frames are not as many or not
    as large as the recipe says.
    """
    name, drawn, pixels = recipe["name"], recipe["drawn"], _fitting(recipe, frames)
    if name in FIXED:
        return watch({"op": name}, map(FIXED[name], pixels))
    if name in MODERATE:
        return moderate.stream(drawn, pixels, seed, watch)
    return second_order.apply(drawn, pixels, seed, watch)


def load(path: Path) -> dict[str, Any]:
    """Read a recipe, or the record that `oasis degrade` writes beside a clip, and return the recipe.

    ValueError, one sentence with file, field, value and what is allowed, for all that `draw` could not have meant: a field
    that is missing or unknown, a value of another type or out of its range, lists of another length than the clip.
    """
    found = reading.parsed(path)
    try:
        recipe = found["recipe"] if isinstance(found, dict) and "recipe" in found else found
        reading.check(recipe, NAMES, moderate=tuple(MODERATE), fixed=tuple(FIXED))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return recipe


def seeded(clip: str, seed: int) -> tuple[np.random.Generator, int]:
    """Return the generator that a clip of this name draws its recipe from, and the seed of its noise, for a user's seed."""
    digest = hashlib.sha256(json.dumps([clip, seed]).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big")), int.from_bytes(digest[16:20], "big")


def _fitting(recipe: Mapping[str, Any], frames: Iterable[Pixels]) -> Iterator[Pixels]:
    wanted, height, width = recipe["frames"], recipe["height"], recipe["width"]
    count = 0
    for count, frame in enumerate(frames, start=1):
        if count > wanted or frame.shape != (height, width, 3):
            found = f"frame {count} of the clip has {frame.shape[1]}x{frame.shape[0]}"
            raise ValueError(f"the recipe is for {wanted} frames of {width}x{height} pixels, but {found}")
        yield frame
    if count < wanted:
        raise ValueError(f"the recipe is for {wanted} frames, the clip has {count}")
