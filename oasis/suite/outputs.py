"""Run every method on every clip and keep what comes out without loss."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from jaxtyping import UInt8
from torch import Tensor
from tqdm import tqdm

from oasis import video, weights
from oasis.suite.methods import Method


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A low-quality clip, RGB 0..255."""

    name: str
    lq: UInt8[Tensor, "t 3 h w"]
    fps: Fraction


def read(folder: Path, names: Sequence[str], frames: int, fps: Fraction) -> list[Clip]:
    """Return the first `frames` of clips that `oasis datasets prepare` wrote."""
    return [Clip(name=name, lq=video.read(folder / name).frames[:frames], fps=fps) for name in names]


def write(methods: Sequence[Method], clips: Sequence[Clip], out: Path) -> dict[str, weights.Missing]:
    """Write OUT/METHOD/CLIP.mkv (FFV1), each whole or not at all, and return what methods that cannot run lack.

    What is there already is not made again.
    """
    missing: dict[str, weights.Missing] = {}
    with tqdm(total=len(methods) * len(clips), desc="upscaling", unit="clip", disable=None, dynamic_ncols=True) as progress:
        for method in methods:
            todo = [clip for clip in clips if not path(out, method.name, clip.name).exists()]
            progress.update(len(clips) - len(todo))
            try:
                upscale = method.open() if todo else None
            except weights.Missing as error:
                missing[method.name] = error
                continue
            for clip in todo:
                assert upscale
                place = path(out, method.name, clip.name)
                place.parent.mkdir(parents=True, exist_ok=True)
                video.write(place, upscale(clip.lq), clip.fps)
                progress.update()
    return missing


def path(out: Path, method: str, clip: str) -> Path:
    """Return where the output of a method on a clip lies."""
    return out / method / f"{clip}.mkv"
