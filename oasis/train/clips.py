"""Training clips in memory, each checked before a run begins: the built-in ones and those of a folder."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from einops import rearrange

from oasis import files, video
from oasis.data import builtin
from oasis.data.builtin import BuiltinClip
from oasis.train.corpus import Clips, Frames, reduce_by_2
from oasis.train.motion import motion_of, raft

BUILTIN_PATHS = 3  # camera paths over each built-in training clip, beside the one that users see
REAL_FRAMES = 100
FPS = (8, 240)
"""What counts as video: below, frames are a slide show, above, a clip is in slow motion or its time stamps are wrong."""
_LARGE = 1000  # pixels on the short side, above which a clip is reduced by 2: such clips are rarely sharp


def builtin_clips() -> Iterator[tuple[str, BuiltinClip]]:
    """Yield the built-in training clips along several camera paths, by name; held-out photographs never appear."""
    for name in builtin.names("train"):
        for path in range(BUILTIN_PATHS + 1):
            seed = None if path == 0 else 1000 * path + builtin.CLIPS[name].seed
            yield f"{name}, path {path}", builtin.make(name, frames=33, height=256, width=384, seed=seed)


def paths(folder: Path) -> list[Path]:
    """Return the videos in a folder, sorted; ValueError if there is none."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; training videos lie in one folder")
    found = sorted(path for path in folder.iterdir() if path.suffix in video.SUFFIXES)
    if not found:
        raise ValueError(f"{folder}: no videos; looked for {', '.join(video.SUFFIXES)}")
    return found


def hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every video in `folder` by name."""
    return {path.name: files.sha256(path) for path in paths(folder)}


def training_clips(videos: Path | None, family: str, *, moving: bool = False) -> Clips:
    """Return the built-in training clips and those in a folder, to be degraded by a family.

    `moving`: with their motion, exact for built-in clips and by RAFT for others; `weights.Missing` without its weights.
    """
    clips: dict[str, BuiltinClip | Frames] = dict(builtin_clips())
    estimate = raft() if moving and videos else None
    clips |= real_clips(videos) if videos else ()
    motions = {name: motion_of(name, clip, estimate) for name, clip in clips.items()} if moving else None
    frames = {name: clip.hr if isinstance(clip, BuiltinClip) else clip for name, clip in clips.items()}
    return Clips(frames, family, motions)


def real_clips(folder: Path) -> Iterator[tuple[str, Frames]]:
    """Yield the first frames of every video in `folder`, by path, those above 1000 lines reduced by 2 with an area filter.

    ValueError names a video that is damaged, or whose frame rate is not between 8 and 240.
    """
    for path in paths(folder):
        fps = video.info(path).fps
        if not FPS[0] <= fps <= FPS[1]:
            raise ValueError(f"{path}: {float(fps):.3g} frames per second; allowed for training: {FPS[0]} to {FPS[1]}")
        taken = list(itertools.islice(video.stream(path), REAL_FRAMES))
        frames: np.ndarray = rearrange(torch.stack(taken), "t c h w -> t h w c").numpy()
        yield str(path), reduce_by_2(frames) if min(frames.shape[1:3]) > _LARGE else frames
