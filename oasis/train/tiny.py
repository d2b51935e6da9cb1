"""Training of the tiny model that ships inside the package: its clips, its start, its stages."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import torch
from einops import rearrange

from oasis import video
from oasis.configs import TINY
from oasis.data import builtin
from oasis.model.oasis import Oasis
from oasis.train.corpus import Corpus, CropSize, Frames, reduce_by_2
from oasis.train.initialise import initialise
from oasis.train.loop import train
from oasis.train.stages import TINY_STAGES

SEED = 2026
BUILTIN_PATHS = 3  # camera paths over each built-in training clip, beside the one that users see
REAL_FRAMES = 100
FIT_BATCHES = 60


def train_tiny(real: Path | None, folder: Path) -> Oasis:
    """Train the tiny model on the built-in training clips and on the videos in `real`; resumes what `folder` holds."""
    clips = [*builtin_clips(), *(real_clips(real) if real is not None else ())]
    torch.manual_seed(SEED)
    model = Oasis(TINY)
    if not (folder / "state.pt").exists():
        size = CropSize(batch=8, frames=9, height=128, width=128)
        corpus = Corpus(clips, (size,), seed=SEED - 1)
        initialise(model, (corpus.batch(number) for number in range(FIT_BATCHES)))
    return train(model, clips, TINY_STAGES, folder, seed=SEED)


def builtin_clips() -> Iterator[Frames]:
    """Yield the built-in training clips along several camera paths; held-out photographs never appear."""
    for name in builtin.names("train"):
        for path in range(BUILTIN_PATHS + 1):
            seed = None if path == 0 else 1000 * path + builtin.CLIPS[name].seed
            yield builtin.make(name, frames=33, height=256, width=384, seed=seed).hr


def real_clips(folder: Path) -> Iterator[Frames]:
    """Yield the first frames of every video in `folder`, those above 1000 lines reduced by 2 with an area filter."""
    paths = sorted(path for path in folder.iterdir() if path.suffix in video.SUFFIXES)
    if not paths:
        raise ValueError(f"{folder}: no videos; looked for {', '.join(video.SUFFIXES)}")
    for path in paths:
        frames = rearrange(torch.stack(list(itertools.islice(video.stream(path), REAL_FRAMES))), "t c h w -> t h w c").numpy()
        yield reduce_by_2(frames) if min(frames.shape[1:3]) > 1000 else frames
