"""Pairs of low- and high-quality crops, drawn without end: batch i depends on the seed and on i alone."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from oasis import video
from oasis.degrade import named

Frames = UInt8[np.ndarray, "_t _h _w 3"]

FAMILIES = {"moderate": ("standard", "standard-inconsistent"), "second-order": ("consistent", "inconsistent")}
"""Degradations by family: the recipe that is the same for all frames of a clip, and the one that is not."""


@dataclass(frozen=True, kw_only=True)
class CropSize:
    """How large a batch of crops is: `batch` crops of `frames` frames of `height` by `width` HR pixels."""

    batch: int
    frames: int
    height: int
    width: int

    @property
    def name(self) -> str:
        """The extent of one crop as text."""
        return f"{self.frames}x{self.height}x{self.width}"


class Pair(NamedTuple):
    """One crop; `latents` ("c t4 h8 w8" float16) are those of `hr` where they were computed beforehand."""

    lq: Frames
    hr: Frames
    latents: np.ndarray | None = None


class Batch(NamedTuple):
    """Crops in [-1, 1], and latents of `hr` where they were computed beforehand."""

    lq: Float[Tensor, "b 3 t h w"]
    hr: Float[Tensor, "b 3 t y x"]
    latents: Float[Tensor, "b c t4 h8 w8"] | None


class Source(Protocol):
    """Where crops come from: clips in memory, or shards on disk."""

    def check(self, sizes: Sequence[CropSize]) -> None:
        """Raise ValueError if crops of these sizes cannot be had."""

    def pair(self, size: CropSize, inconsistent: bool, generator: np.random.Generator) -> Pair:
        """Draw a crop."""


class Corpus(IterableDataset[Batch]):
    """An endless, seeded stream of batches, so that a resumed run sees what an uninterrupted one would have seen.

    Sizes alternate as `sizes` says, one batch each. Of a batch, process `rank` of `world` takes every `world`-th crop: the
    crops of all processes together are those of a single one. `probability` of a batch's number says how often a crop is
    degraded inconsistently.
    """

    def __init__(
        self,
        source: Source,
        sizes: Sequence[CropSize],
        seed: int,
        *,
        probability: Callable[[int], float] = lambda number: 0.0,
        start: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        super().__init__()
        source.check(sizes)
        for size in sizes:
            if size.batch % world:
                raise ValueError(f"a batch of {size.batch} crops cannot be shared equally by {world} processes")
        self.source, self.sizes, self.seed, self.start = source, tuple(sizes), seed, start
        self.probability, self.rank, self.world = probability, rank, world

    def __iter__(self) -> Iterator[Batch]:
        number = self.start
        while True:
            yield self.batch(number)
            number += 1

    def batch(self, number: int) -> Batch:
        """Return this process's share of batch `number`."""
        size = self.sizes[number % len(self.sizes)]
        pairs = [self._pair(number, index, size) for index in range(self.rank, size.batch, self.world)]
        lq, hr = (torch.stack([_to_network(frames) for frames in side]) for side in list(zip(*pairs, strict=True))[:2])
        latents = [torch.from_numpy(pair.latents).float() for pair in pairs if pair.latents is not None]
        return Batch(lq, hr, torch.stack(latents) if latents else None)

    def loader(self) -> DataLoader[Batch]:
        """Return a loader that prepares batches in one background process."""
        return DataLoader(self, batch_size=None, num_workers=1, prefetch_factor=4)

    def _pair(self, number: int, index: int, size: CropSize) -> Pair:
        generator = np.random.default_rng((self.seed, number, index))
        inconsistent = bool(generator.random() < self.probability(number))
        return self.source.pair(size, inconsistent, generator)


class Clips:
    """Crops of clips in memory, by name, degraded as they are drawn."""

    def __init__(self, clips: Mapping[str, Frames], family: str) -> None:
        if family not in FAMILIES:
            raise ValueError(f"degradation {family!r} is unknown; allowed: {', '.join(FAMILIES)}")
        self.names, self.clips, self.family = list(clips), list(clips.values()), family

    def check(self, sizes: Sequence[CropSize]) -> None:
        """Raise ValueError if a clip is too small for a crop."""
        if not self.clips:
            raise ValueError("there is no clip to train on")
        for size in sizes:
            for name, clip in zip(self.names, self.clips, strict=True):
                if any(have < want for have, want in zip(clip.shape, (size.frames, size.height, size.width), strict=False)):
                    t, h, w, _ = clip.shape
                    raise ValueError(
                        f"training clip {name} has {t} frames of {w}x{h} pixels; a crop needs {size.frames} frames of "
                        f"{size.width}x{size.height}"
                    )

    def pair(self, size: CropSize, inconsistent: bool, generator: np.random.Generator) -> Pair:
        """Draw a crop and a degradation."""
        hr = self.crop(size, generator)
        return Pair(degraded(self.family, hr, inconsistent, generator), hr)

    def crop(self, size: CropSize, generator: np.random.Generator) -> Frames:
        """Draw a clean crop."""
        return augment(crop(self.clips[generator.integers(len(self.clips))], size, generator), generator)


def degraded(family: str, hr: Frames, inconsistent: bool, generator: np.random.Generator) -> Frames:
    """Return a crop with a degradation of a family, drawn anew."""
    frames, height, width, _ = hr.shape
    recipe = named.draw(FAMILIES[family][inconsistent], generator, frames, height, width)
    return np.stack(list(named.apply(recipe, hr, seed=int(generator.integers(2**31)))))


def crop(clip: Frames, size: CropSize, generator: np.random.Generator) -> Frames:
    """Cut a random crop; half of the time from a clip reduced by 2, where it is large enough, for sharper detail."""
    reduce = 2 if min(clip.shape[1] // size.height, clip.shape[2] // size.width) >= 2 and generator.random() < 0.5 else 1
    t, y, x = (
        int(generator.integers(have - want + 1))
        for have, want in zip(clip.shape[:3], (size.frames, size.height * reduce, size.width * reduce), strict=True)
    )
    cut = clip[t : t + size.frames, y : y + size.height * reduce, x : x + size.width * reduce]
    return cut if reduce == 1 else reduce_by_2(cut)


def reduce_by_2(frames: Frames) -> Frames:
    """Average 2x2 pixels, rounded; an odd last row or column is dropped."""
    even = frames[:, : frames.shape[1] // 2 * 2, : frames.shape[2] // 2 * 2]
    sums = rearrange(even.astype(np.uint16), "t (h fh) (w fw) c -> t h w c (fh fw)", fh=2, fw=2).sum(-1)
    return ((sums + 2) // 4).astype(np.uint8)


def augment(clip: Frames, generator: np.random.Generator) -> Frames:
    """Mirror left to right and reverse time, each with probability one half."""
    if generator.random() < 0.5:
        clip = clip[:, :, ::-1]
    if generator.random() < 0.5:
        clip = clip[::-1]
    return clip.copy()


def _to_network(frames: Frames) -> Float[Tensor, "3 t h w"]:
    return rearrange(video.to_network(torch.from_numpy(rearrange(frames, "t h w c -> t c h w"))), "t c h w -> c t h w")
