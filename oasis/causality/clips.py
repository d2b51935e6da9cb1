"""The clips that heads are changed on, and those that routings are judged on: built-in ones by split, or a user's."""

import itertools
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import UInt8
from torch import Tensor

from oasis.data import builtin, clips
from oasis.data.builtin import Split

SCALE = 4
"""Of the ground truth of built-in clips to their LQ clips."""


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Which part of clips is taken: the first `frames`, `crop` (height, width) LQ pixels of the middle, the first `clips`."""

    frames: int = 9
    crop: tuple[int, int] = (32, 48)
    clips: int | None = None

    def __post_init__(self) -> None:
        if self.frames < 1 or min(self.crop) < 1 or (self.clips is not None and self.clips < 1):
            raise ValueError(f"frames are {self.frames}, crop {self.crop}, clips {self.clips}; allowed: at least 1 each")


@dataclass(frozen=True, kw_only=True, eq=False)
class Clip:
    """The part of a clip that is taken, RGB 0..255, and of its ground truth where that is known."""

    name: str
    lq: UInt8[Tensor, "t 3 h w"]
    hr: UInt8[Tensor, "t 3 4*h 4*w"] | None


def take(data: str, split: Split, cut: Cut) -> list[Clip]:
    """Return the clips of `data`: "builtin" stands for the built-in clips of `split`, else as in `oasis.data.clips.load`."""
    if data == "builtin":
        return [take_named(name, cut) for name in builtin.names(split)[: cut.clips]]
    loaded = clips.load(data, frames=cut.frames)
    return [_cut(clip.name, clip.lq, clip.hr, cut) for clip in itertools.islice(loaded, cut.clips)]


def one(data: str, split: Split, cut: Cut, number: int) -> Clip:
    """Return the clip at a place in what `take` returns, without making those before it."""
    if data == "builtin":
        return take_named(builtin.names(split)[number], cut)
    loaded = next(clips.load(clips.find(Path(data))[number], frames=cut.frames))
    return _cut(loaded.name, loaded.lq, loaded.hr, cut)


def take_named(name: str, cut: Cut) -> Clip:
    """Return a built-in clip."""
    clip = builtin.make(name)
    return _cut(clip.name, clips.as_tensor(clip.lq), clips.as_tensor(clip.hr), cut)


def _cut(name: str, lq: Tensor, hr: Tensor | None, cut: Cut) -> Clip:
    return Clip(name=name, lq=_middle(lq, cut, 1), hr=None if hr is None else _middle(hr, cut, SCALE))


def _middle(frames: Tensor, cut: Cut, scale: int) -> Tensor:
    """Cut the middle out; borders lie on LQ pixels, so that a clip and its ground truth show the same."""
    have = [length // scale for length in frames.shape[-2:]]
    height, width = (min(length, most) for length, most in zip(have, cut.crop, strict=True))
    top, left = (scale * ((length - size) // 2) for length, size in zip(have, (height, width), strict=True))
    return frames[: cut.frames, :, top : top + scale * height, left : left + scale * width]
