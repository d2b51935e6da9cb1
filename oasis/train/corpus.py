"""Pairs of low- and high-quality crops, drawn without end from clips in memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from oasis import degrade, video

Frames = UInt8[np.ndarray, "_t _h _w 3"]


@dataclass(frozen=True, kw_only=True)
class CropSize:
    """How large a batch of crops is: `batch` crops of `frames` frames of `height` by `width` HR pixels."""

    batch: int
    frames: int
    height: int
    width: int


class Corpus(IterableDataset[tuple[Tensor, Tensor]]):
    """An endless, seeded stream of batches (lq "b 3 t h w", hr "b 3 t y x"), both in [-1, 1].

    Batch number i depends on the seed and on i alone, so that a resumed run sees what an uninterrupted one would have
    seen. Sizes alternate as `sizes` says, one batch each.
    """

    def __init__(self, clips: Sequence[Frames], sizes: Sequence[CropSize], seed: int, start: int = 0) -> None:
        super().__init__()
        largest = max(sizes, key=lambda size: size.frames * size.height * size.width)
        self.clips = [clip for clip in clips if _fits(clip, largest)]
        if not self.clips:
            raise ValueError(f"no clip holds a crop of {largest.frames} frames of {largest.height}x{largest.width} pixels")
        self.sizes, self.seed, self.start = tuple(sizes), seed, start

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        number = self.start
        while True:
            yield self.batch(number)
            number += 1

    def batch(self, number: int) -> tuple[Float[Tensor, "b 3 t h w"], Float[Tensor, "b 3 t y x"]]:
        """Return batch `number`."""
        generator = np.random.default_rng((self.seed, number))
        size = self.sizes[number % len(self.sizes)]
        pairs = [self._pair(size, generator) for _ in range(size.batch)]
        lq, hr = (torch.stack([_to_network(frames) for frames in side]) for side in zip(*pairs, strict=True))
        return lq, hr

    def loader(self) -> DataLoader[tuple[Tensor, Tensor]]:
        """Return a loader that prepares batches in one background process."""
        return DataLoader(self, batch_size=None, num_workers=1, prefetch_factor=4)

    def _pair(self, size: CropSize, generator: np.random.Generator) -> tuple[Frames, Frames]:
        hr = augment(crop(self.clips[generator.integers(len(self.clips))], size, generator), generator)
        recipe = degrade.draw(generator)
        return degrade.apply(recipe, hr, seed=int(generator.integers(2**31))), hr


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
    return np.ascontiguousarray(clip)


def _fits(clip: Frames, size: CropSize) -> bool:
    return clip.shape[0] >= size.frames and clip.shape[1] >= size.height and clip.shape[2] >= size.width


def _to_network(frames: Frames) -> Float[Tensor, "3 t h w"]:
    return rearrange(video.to_network(torch.from_numpy(rearrange(frames, "t h w c -> t c h w"))), "t c h w -> c t h w")
