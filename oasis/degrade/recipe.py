"""A degradation as data: what is done to a clip, the same for all of its frames."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oasis.degrade import ops


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Blur, downscale, noise, JPEG, in this order.

    `blur_sigma` in pixels of the clean clip, `resize` a name of `ops.FILTERS`, `noise_sigma` in grey levels of 255,
    `jpeg_quality` 1..95 or None for no compression.
    """

    blur_sigma: float = 0.0
    resize: str = "bicubic"
    scale: int = 4
    noise_sigma: float = 0.0
    jpeg_quality: int | None = None

    def __post_init__(self) -> None:
        for name in ("blur_sigma", "noise_sigma"):
            value = getattr(self, name)
            if type(value) not in (int, float) or not 0 <= value <= 255:
                raise ValueError(f"recipe field {name!r} must be a number from 0 to 255, got {value!r}")
        if not isinstance(self.resize, str) or self.resize not in ops.FILTERS:
            raise ValueError(f"recipe field 'resize' is {self.resize!r}; allowed: {', '.join(ops.FILTERS)}")
        if type(self.scale) is not int or self.scale < 1:
            raise ValueError(f"recipe field 'scale' must be a whole number of at least 1, got {self.scale!r}")
        quality = self.jpeg_quality
        if quality is not None and (type(quality) is not int or not 1 <= quality <= 95):
            raise ValueError(f"recipe field 'jpeg_quality' must be null or a whole number from 1 to 95, got {quality!r}")

    def to_json(self) -> str:
        """Return the recipe as one line of JSON."""
        return json.dumps(dataclasses.asdict(self), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "Recipe":
        """Read what `to_json` writes; every field must be there, ValueError names the one that does not fit."""
        try:
            data: Any = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"a recipe must be JSON ({error})") from error
        fields = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(data, Mapping) or set(data) != fields:
            raise ValueError(f"a recipe must be an object with exactly the fields {', '.join(sorted(fields))}, got {data!r}")
        return cls(**data)


def draw(generator: np.random.Generator) -> Recipe:
    """Draw a moderate degradation as real cameras and web sites make them, x4 smaller."""
    return Recipe(
        blur_sigma=round(generator.uniform(0.2, 2.0), 3),
        resize=list(ops.FILTERS)[generator.integers(len(ops.FILTERS))],
        noise_sigma=round(generator.uniform(0.0, 6.0), 3),
        jpeg_quality=int(generator.integers(60, 96)) if generator.uniform() >= 0.3 else None,
    )


def apply(recipe: Recipe, clip: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    """Degrade "t h w 3" to "t h/scale w/scale 3"; equal arguments give equal bytes."""
    found = ops.blur(clip.astype(np.float32), recipe.blur_sigma) if recipe.blur_sigma else clip.astype(np.float32)
    found = ops.downscale(found, recipe.scale, recipe.resize)
    found = ops.noise(found, recipe.noise_sigma, np.random.default_rng(seed))
    small = ops.quantise(found)
    return small if recipe.jpeg_quality is None else ops.jpeg(small, recipe.jpeg_quality)
