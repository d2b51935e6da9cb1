"""Sizes of clips: how the network pads one, and how `oasis upscale` cuts one into chunks and tiles; integers only."""

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

from oasis.configs import SPATIAL_STRIDE, TEMPORAL_STRIDE
from oasis.grid import Grid

_LEAST = 16


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """How a clip is cut: frames, rows and columns of LQ pixels per tile, and how many of them neighbours share.

    Where tiles overlap, their outputs are mixed with weights that rise and fall linearly.
    """

    frames: int = 17
    height: int = 48
    width: int = 80
    overlap_frames: int = 4
    overlap: int = 8

    def __post_init__(self) -> None:
        for name, size, shared in (
            ("frames", self.frames, self.overlap_frames),
            ("height", self.height, self.overlap),
            ("width", self.width, self.overlap),
        ):
            if shared < 0 or size < 2 * shared + 1:
                raise ValueError(f"tiles of {size} ({name}) cannot share {shared}; allowed: less than half")

    @classmethod
    def of(cls, frames: int, height: int, width: int) -> "Tiling":
        """Return tiles of this size that share the usual 4 frames and 8 pixels, or a quarter of a side if that is less."""
        shared = {"overlap_frames": min(4, frames // 4), "overlap": min(8, height // 4, width // 4)}
        return cls(frames=frames, height=height, width=width, **shared)

    def smaller(self) -> "Tiling | None":
        """Return tiles of half the longer side and as many frames, None if both sides are at their least, 16 pixels."""
        height, width = self.height, self.width
        if max(height, width) <= _LEAST:
            return None
        half = max(_LEAST, max(height, width) // 2)
        height, width = (half, width) if height > width else (height, half)
        overlap = min(self.overlap, height // 4, width // 4)
        return Tiling(frames=self.frames, height=height, width=width, overlap_frames=self.overlap_frames, overlap=overlap)

    def __str__(self) -> str:
        """The size of a tile as `--tile` takes it."""
        return f"{self.frames}x{self.height}x{self.width}"

    def calls(self, size: tuple[int, int, int]) -> Counter[tuple[int, int, int]]:
        """Return the sizes (t, h, w) of all calls of the network that a clip of this size takes, and how many of each."""
        t, h, w = size
        sides = ((h, self.height), (w, self.width))
        rows, columns = ([min(most, length)] * len(starts(length, most, self.overlap)) for length, most in sides)
        return Counter((frames, height, width) for frames in self._chunks(t) for height in rows for width in columns)

    def _chunks(self, length: int) -> list[int]:
        step = self.frames - self.overlap_frames
        begins = range(0, max(length - self.overlap_frames, 1), step)
        return [min(self.frames, length - begin) for begin in begins]


def starts(length: int, size: int, overlap: int) -> list[int]:
    """Return where tiles of `size` begin so that they cover `length` and share at least `overlap` with each neighbour."""
    if length <= size:
        return [0]
    count = -(-(length - overlap) // (size - overlap))
    found = [round(index * (length - size) / (count - 1)) for index in range(count)]
    assert all(b - a <= size - overlap for a, b in pairwise(found))
    return found


def padded_size(size: tuple[int, int, int], scale: int, patch: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return the (t, h, w) of an LQ clip once it folds onto a latent grid that `patch` divides; see `pad_clip`."""
    t, h, w = size
    fold = SPATIAL_STRIDE // scale
    frames = TEMPORAL_STRIDE * patch[0]
    groups = -(-(t - 1 + TEMPORAL_STRIDE) // frames)
    return groups * frames - (TEMPORAL_STRIDE - 1), h + -h % (fold * patch[1]), w + -w % (fold * patch[2])


def latent_grid(size: tuple[int, int, int], scale: int, patch: tuple[int, int, int]) -> Grid:
    """Return the latent grid of an LQ clip of (t, h, w), padding included."""
    t, h, w = padded_size(size, scale, patch)
    fold = SPATIAL_STRIDE // scale
    return Grid((t - 1) // TEMPORAL_STRIDE + 1, h // fold, w // fold)
