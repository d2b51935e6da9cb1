"""Clips by the name that a user gives: the built-in ones, a file, or a folder."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import torch
from einops import rearrange
from jaxtyping import UInt8
from numpy.typing import NDArray
from torch import Tensor

from oasis import video
from oasis.data import builtin

BUILTIN: dict[str, builtin.Split | None] = {"builtin": None, "builtin-train": "train", "builtin-test": "test"}
"""Names of built-in clips, and the split that each stands for."""


@dataclass(frozen=True, kw_only=True)
class LoadedClip:
    """A low-quality clip, RGB 0..255, and the clean one that it was made from where that is known."""

    name: str
    lq: UInt8[Tensor, "t 3 h w"]
    hr: UInt8[Tensor, "t 3 4*h 4*w"] | None
    fps: Fraction


def load(source: Path | str, *, frames: int | None = None) -> Iterator[LoadedClip]:
    """Yield the clips of `source` one after the other, by name: built-in ones, a video file, a folder of PNG or of clips.

    "builtin" are all, "builtin-train" and "builtin-test" those to decide on and those to judge on.

    Of a file, at most the first `frames` are kept, by default all. A folder of clips holds video files (`video.SUFFIXES`)
    and folders of PNG. FileNotFoundError or ValueError if there is no clip, at the call and not at the first clip; errors of
    a clip itself as in `video.stream`.
    """
    if source in BUILTIN:
        return (rendered(name) for name in builtin.names(BUILTIN[str(source)]))
    paths = find(Path(source))
    return (_read(path, frames) for path in paths)


def find(source: Path) -> list[Path]:
    """Return the clips at a path, by name: the path itself, or what a folder of clips holds; errors as in `load`."""
    if not source.exists():
        raise FileNotFoundError(f"{source}: no such file or folder, and not one of {', '.join(BUILTIN)}")
    if source.is_file() or any(source.glob("*.png")):
        return [source]
    found: dict[str, Path] = {}
    for path in sorted(path for path in source.iterdir() if not path.name.startswith(".")):  # those are no finished files
        if path.suffix.lower() in video.SUFFIXES or (path.is_dir() and any(path.glob("*.png"))):
            if path.stem in found:
                raise ValueError(f"{source}: {found[path.stem].name} and {path.name} would both be the clip {path.stem!r}")
            found[path.stem] = path
    if not found:
        raise ValueError(f"{source}: no clips; looked for {', '.join(video.SUFFIXES)}, *.png and folders of *.png")
    return [found[name] for name in sorted(found)]


def _read(path: Path, frames: int | None) -> LoadedClip:
    stream = video.stream(path)
    taken = torch.stack(list(itertools.islice(stream, frames)))
    for _ in stream:  # the rest is decoded and dropped: a file that is cut off is refused, wherever the cut
        pass
    return LoadedClip(name=path.resolve().stem, lq=taken, hr=None, fps=video.info(path).fps)


def rendered(name: str) -> LoadedClip:
    """Return a built-in clip."""
    clip = builtin.make(name)
    return LoadedClip(name=name, lq=as_tensor(clip.lq), hr=as_tensor(clip.hr), fps=clip.fps)


def as_tensor(pixels: NDArray) -> UInt8[Tensor, "t 3 h w"]:
    """Return frames "t h w 3" of numpy as a tensor "t 3 h w"."""
    return rearrange(torch.from_numpy(pixels), "t h w c -> t c h w").contiguous()
