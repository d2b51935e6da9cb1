"""Run every method on every clip and keep what comes out without loss."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from jaxtyping import UInt8
from torch import Tensor
from tqdm import tqdm

from oasis import video
from oasis.suite.methods import Upscale


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A low-quality clip, RGB 0..255."""

    name: str
    lq: UInt8[Tensor, "t 3 h w"]
    fps: Fraction


def read(folder: Path, names: Sequence[str], frames: int, fps: Fraction) -> list[Clip]:
    """Return the first `frames` of clips that `oasis datasets prepare` wrote."""
    return [Clip(name=name, lq=video.read(folder / name).frames[:frames], fps=fps) for name in names]


def write(ready: Mapping[str, Upscale], clips: Sequence[Clip], out: Path) -> None:
    """Write OUT/METHOD/CLIP.mkv (FFV1), each whole or not at all; what is there already is not made again."""
    todo = [(name, clip) for name in ready for clip in clips if not path(out, name, clip.name).exists()]
    for name, clip in tqdm(todo, desc="upscaling", unit="clip", disable=None, dynamic_ncols=True):
        place = path(out, name, clip.name)
        place.parent.mkdir(parents=True, exist_ok=True)
        video.write(place, ready[name](clip.lq), clip.fps)


def path(out: Path, method: str, clip: str) -> Path:
    """Return where the output of a method on a clip lies."""
    return out / method / f"{clip}.mkv"


def size(clip: Clip) -> tuple[int, int, int]:
    """Return frames, rows and columns of a clip."""
    frames, _, height, width = clip.lq.shape
    return frames, height, width
