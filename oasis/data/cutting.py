"""The part of clips that a measurement takes: the first clips, their first frames, the middle of each, ground truth alike."""

import dataclasses
import itertools
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from oasis.data import builtin, clips
from oasis.data.clips import BUILTIN, LoadedClip

SCALE = 4
"""Of the ground truth to its LQ clip."""


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Which part of clips is taken: the first `frames`, `crop` (height, width) LQ pixels of the middle, the first `clips`."""

    frames: int = 9
    crop: tuple[int, int] = (32, 48)
    clips: int | None = None

    def __post_init__(self) -> None:
        if self.frames < 1 or min(self.crop) < 1 or (self.clips is not None and self.clips < 1):
            raise ValueError(f"frames are {self.frames}, crop {self.crop}, clips {self.clips}; allowed: at least 1 each")


def take(data: str, cut: Cut) -> list[LoadedClip]:
    """Return the part of the clips that `oasis.data.clips.load` knows by this name; errors as there."""
    return [_cut(clip, cut) for clip in itertools.islice(clips.load(data, frames=cut.frames), cut.clips)]


def one(data: str, cut: Cut, number: int) -> LoadedClip:
    """Return the clip at a place in what `take` returns, without making those before it."""
    if data in BUILTIN:
        return _cut(clips.rendered(builtin.names(BUILTIN[data])[number]), cut)
    return _cut(next(clips.load(clips.find(Path(data))[number], frames=cut.frames)), cut)


def _cut(clip: LoadedClip, cut: Cut) -> LoadedClip:
    hr = None if clip.hr is None else _middle(clip.hr, cut, SCALE)
    return dataclasses.replace(clip, lq=_middle(clip.lq, cut, 1), hr=hr)


def _middle(frames: Tensor, cut: Cut, scale: int) -> Tensor:
    """Cut the middle out; borders lie on LQ pixels, so that a clip and its ground truth show the same."""
    have = [length // scale for length in frames.shape[-2:]]
    height, width = (min(length, most) for length, most in zip(have, cut.crop, strict=True))
    top, left = (scale * ((length - size) // 2) for length, size in zip(have, (height, width), strict=True))
    return frames[: cut.frames, :, top : top + scale * height, left : left + scale * width]
