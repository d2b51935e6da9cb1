"""Pairs of low- and high-quality crops, drawn without end: batch i depends on the seed and on i alone."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from oasis import video
from oasis.degrade import named
from oasis.train import motion
from oasis.train.motion import Motion

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
    """One crop; `latents` ("c t4 h8 w8" float16) and `motion` are those of `hr`, where they are known."""

    lq: Frames
    hr: Frames
    latents: np.ndarray | None = None
    motion: Motion | None = None


class Batch(NamedTuple):
    """Crops in [-1, 1], and latents and motion (`flow`, `seen`) of `hr`, where they are known."""

    lq: Float[Tensor, "b 3 t h w"]
    hr: Float[Tensor, "b 3 t y x"]
    latents: Float[Tensor, "b c t4 h8 w8"] | None = None
    flow: Float[Tensor, "b pairs y x 2"] | None = None
    seen: Bool[Tensor, "b pairs y x"] | None = None


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
        motions = [pair.motion for pair in pairs if pair.motion is not None]
        flow, seen = map(torch.stack, zip(*motions, strict=True)) if motions else (None, None)
        return Batch(lq, hr, torch.stack(latents) if latents else None, flow, seen)

    def loader(self) -> DataLoader[Batch]:
        """Return a loader that prepares batches in one background process."""
        return DataLoader(self, batch_size=None, num_workers=1, prefetch_factor=4)

    def _pair(self, number: int, index: int, size: CropSize) -> Pair:
        generator = np.random.default_rng((self.seed, number, index))
        inconsistent = bool(generator.random() < self.probability(number))
        return self.source.pair(size, inconsistent, generator)


class Clean(NamedTuple):
    """A crop before it is degraded, and its motion where it is known."""

    hr: Frames
    motion: Motion | None


class Place(NamedTuple):
    """Where a crop lies in its clip: first frame, row and column, and whether it is cut twice as large and reduced by 2."""

    first: int
    top: int
    left: int
    halve: bool


class Clips:
    """Crops of clips in memory, by name, degraded as they are drawn; with motion where `motions` has that of all clips."""

    def __init__(self, clips: Mapping[str, Frames], family: str, motions: Mapping[str, Motion] | None = None) -> None:
        if family not in FAMILIES:
            raise ValueError(f"degradation {family!r} is unknown; allowed: {', '.join(FAMILIES)}")
        self.names, self.clips, self.family = list(clips), list(clips.values()), family
        self.motions = None if motions is None else [motions[name] for name in clips]

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
        clean = self.crop(size, generator)
        return Pair(degraded(self.family, clean.hr, inconsistent, generator), clean.hr, motion=clean.motion)

    def crop(self, size: CropSize, generator: np.random.Generator) -> Clean:
        """Draw a clean crop, mirrored left to right and reversed in time, each with probability one half.

        One with motion is never reversed, because only the way forward is known.
        """
        number = int(generator.integers(len(self.clips)))
        place = draw_place(self.clips[number].shape, size, generator)
        hr, moves = cut(self.clips[number], place, size), None
        if self.motions is not None:
            moves = motion.cut(
                self.motions[number],
                first=place.first,
                frames=size.frames,
                top=place.top,
                left=place.left,
                height=size.height,
                width=size.width,
                halve=place.halve,
            )
        if generator.random() < 0.5:
            hr, moves = hr[:, :, ::-1], None if moves is None else motion.mirror(moves)
        if generator.random() < 0.5 and moves is None:
            hr = hr[::-1]
        # Copies, because a view would take its whole clip along to another process.
        return Clean(hr.copy(), None if moves is None else Motion(*(part.clone() for part in moves)))


def degraded(family: str, hr: Frames, inconsistent: bool, generator: np.random.Generator) -> Frames:
    """Return a crop with a degradation of a family, drawn anew."""
    frames, height, width, _ = hr.shape
    recipe = named.draw(FAMILIES[family][inconsistent], generator, frames, height, width)
    return np.stack(list(named.apply(recipe, hr, seed=int(generator.integers(2**31)))))


def draw_place(shape: Sequence[int], size: CropSize, generator: np.random.Generator) -> Place:
    """Draw the place of a crop; half of the time it is reduced by 2, where the clip is large enough, for sharper detail."""
    halve = min(shape[1] // size.height, shape[2] // size.width) >= 2 and generator.random() < 0.5
    factor = 2 if halve else 1
    wanted = (size.frames, size.height * factor, size.width * factor)
    first, top, left = (int(generator.integers(have - want + 1)) for have, want in zip(shape, wanted, strict=False))
    return Place(first, top, left, halve)


def cut(clip: Frames, place: Place, size: CropSize) -> Frames:
    """Cut a crop out of its clip."""
    factor = 2 if place.halve else 1
    rows = slice(place.top, place.top + size.height * factor)
    columns = slice(place.left, place.left + size.width * factor)
    found = clip[place.first : place.first + size.frames, rows, columns]
    return reduce_by_2(found) if place.halve else found


def reduce_by_2(frames: Frames) -> Frames:
    """Average 2x2 pixels, rounded; an odd last row or column is dropped."""
    even = frames[:, : frames.shape[1] // 2 * 2, : frames.shape[2] // 2 * 2]
    sums = rearrange(even.astype(np.uint16), "t (h fh) (w fw) c -> t h w c (fh fw)", fh=2, fw=2).sum(-1)
    return ((sums + 2) // 4).astype(np.uint8)


def _to_network(frames: Frames) -> Float[Tensor, "3 t h w"]:
    return rearrange(video.to_network(torch.from_numpy(rearrange(frames, "t h w c -> t c h w"))), "t c h w -> c t h w")
