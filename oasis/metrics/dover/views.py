"""What DOVER looks at: which frames, and which pixels of them.

Everything follows VQAssessment/DOVER@f1ddc96, dover/datasets/dover_datasets.py and dover.yml (val-l1080p), its order of random
draws included, so that equal seeds give equal views.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int, UInt8
from numpy import ndarray
from torch import Tensor

SIDE = 224
GRID = 7
FRAGMENT = SIDE // GRID
FRAMES = 32
CLIPS = 3
INTERVAL = 2


@dataclass(frozen=True)
class View:
    """32 frames that a branch sees in one pass: fragments with these corners (y, x), or without corners the whole frames."""

    frames: tuple[int, ...]
    corners: tuple[tuple[int, int], ...] = ()

    @property
    def branch(self) -> str:
        """The technical branch looks at fragments, the aesthetic one at whole frames."""
        return "technical" if self.corners else "aesthetic"

    def of(self, rgb: UInt8[ndarray, "h w 3"]) -> UInt8[ndarray, "224 224 3"]:
        """Return what it shows of a frame."""
        return fragments(rgb, self.corners) if self.corners else resized(rgb, SIDE)


def draw(frames: int, height: int, width: int, seed: int) -> tuple[View, ...]:
    """Return the three technical views and the aesthetic one that official code would draw of a clip from this seed.

    ValueError for frames below 32 x 32 pixels, from which no fragment can be cut.
    """
    if min(height, width) < FRAGMENT:
        raise ValueError(f"DOVER cuts fragments of {FRAGMENT}x{FRAGMENT} pixels, and the frames are {width}x{height}")
    legacy = np.random.RandomState(seed)  # the stream of np.random.seed and np.random.randint
    clips = frame_numbers(frames, CLIPS, FRAMES, legacy).tolist()
    spread = frame_numbers(frames, FRAMES, 1, legacy).flatten().tolist()
    corners = fragment_corners(height, width, CLIPS, torch.Generator().manual_seed(seed)).tolist()
    technical = (View(tuple(clip), tuple((y, x) for y, x in places)) for clip, places in zip(clips, corners, strict=True))
    return *technical, View(tuple(spread))


def frame_numbers(frames: int, segments: int, length: int, random: np.random.RandomState) -> Int[ndarray, "segments length"]:
    """Return every second frame from a random start in each of equal segments, as long as wanted, wrapped at the clip's end.

    A segment that is no longer than what is wanted of it starts at its first frame.
    """
    segment = frames // segments
    start = segment * np.arange(segments)
    spare = segment - INTERVAL * length
    if spare > 0:
        start += random.randint(spare, size=segments)
    return (start[:, None] + INTERVAL * np.arange(length)) % frames


def fragment_corners(height: int, width: int, groups: int, random: torch.Generator) -> Int[ndarray, "groups 49 2"]:
    """Return for each group of frames the corner (y, x) of a fragment at a random place in each of 7x7 cells."""
    axes = [rearrange(_random_steps(side, groups, random), "i j g -> g (i j)") for side in (height, width)]
    cells = np.stack(np.meshgrid(_cells(height), _cells(width), indexing="ij"), axis=-1)
    return rearrange(cells, "i j yx -> (i j) yx") + np.stack(axes, axis=-1)


def fragments(rgb: UInt8[ndarray, "h w 3"], corners: Iterable[tuple[int, int]]) -> UInt8[ndarray, "224 224 3"]:
    """Return 7x7 fragments of 32x32 pixels side by side.

    A frame with a side below 224 is enlarged first, and then only its upper left part is seen, because corners are drawn
    for the size it had: so does official code.
    """
    if min(rgb.shape[:2]) < SIDE:
        rgb = _enlarged(rgb)
    cut = [rgb[y : y + FRAGMENT, x : x + FRAGMENT] for y, x in corners]
    return rearrange(np.stack(cut), "(i j) h w c -> (i h) (j w) c", i=GRID)


def resized(rgb: UInt8[ndarray, "h w 3"], side: int) -> UInt8[ndarray, "side side 3"]:
    """Return a whole frame as a square, bilinear without antialias, as torchvision 0.14 resizes tensors (DOVER pins it)."""
    square = F.interpolate(_planes(rgb), size=(side, side), mode="bilinear", align_corners=False, antialias=False)
    return _bytes(square.round())


def _enlarged(rgb: UInt8[ndarray, "h w 3"]) -> UInt8[ndarray, "h2 w2 3"]:
    factor = SIDE / min(rgb.shape[:2])
    larger = F.interpolate(_planes(rgb) / 255, scale_factor=factor, mode="bilinear", align_corners=False) * 255
    return _bytes(larger)  # truncated, not rounded


def _random_steps(side: int, groups: int, random: torch.Generator) -> Int[ndarray, "7 7 groups"]:
    spare = side // GRID - FRAGMENT
    shape = (GRID, GRID, groups)
    return torch.randint(spare, shape, generator=random).numpy() if spare > 0 else np.zeros(shape, dtype=np.int64)


def _cells(side: int) -> Int[ndarray, "7"]:
    return np.minimum(np.arange(GRID) * (side // GRID), side - FRAGMENT)


def _planes(rgb: UInt8[ndarray, "h w 3"]) -> Float[Tensor, "1 3 h w"]:
    return rearrange(torch.from_numpy(rgb.astype(np.float32)), "h w c -> 1 c h w")


def _bytes(planes: Float[Tensor, "1 3 h w"]) -> UInt8[ndarray, "h w 3"]:
    return rearrange(planes.to(torch.uint8), "1 c h w -> h w c").numpy()
