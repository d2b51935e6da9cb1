"""The schedule of the tiny model's training, as data."""

from dataclasses import dataclass
from typing import Literal

from oasis.train.corpus import CropSize


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Some steps with one goal.

    `decoder`: the VAE's decoder learns to reconstruct HR clips. `latent`: the transformer regresses latents, weighted by
    what each channel adds to the pixels. `pixel`: it goes on through the frozen decoder, with losses on pixels.
    The learning rate warms up over `warmup` steps and falls to a tenth on a cosine.
    """

    name: Literal["decoder", "latent", "pixel"]
    steps: int
    learning_rate: float
    sizes: tuple[CropSize, ...]
    warmup: int = 100


_SMALL = CropSize(batch=16, frames=9, height=96, width=96)
_LONG = CropSize(batch=6, frames=17, height=128, width=128)
_WHOLE = CropSize(batch=1, frames=17, height=192, width=320)

TINY_STAGES = (
    Stage(name="decoder", steps=500, learning_rate=1e-3, sizes=(_SMALL,)),
    Stage(name="latent", steps=1100, learning_rate=1.2e-3, sizes=(_SMALL, _SMALL, _LONG, _SMALL, _SMALL, _WHOLE)),
    Stage(name="pixel", steps=350, learning_rate=5e-4, sizes=(_SMALL, _LONG, _SMALL, _WHOLE)),
)
