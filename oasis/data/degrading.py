"""One clip on disk -> its low-quality copy, and beside it the record of how it was made."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from einops import rearrange
from jaxtyping import UInt8
from numpy import ndarray

from oasis import files, video
from oasis.data.hashes import Content, content
from oasis.data.prepare import cropped, holds, versions
from oasis.degrade import named
from oasis.degrade.stages import Frames, Stage

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Job:
    """A clip to degrade: `recipe` is a name of `named.NAMES`, or a recipe that was drawn for a clip of this length and size."""

    source: Path
    out: Path
    recipe: str | Mapping[str, Any]
    seed: int

    @property
    def record(self) -> Path:
        """Where the record lies: in the folder of PNG, or beside the file."""
        return Path(f"{self.out}.json") if self.out.suffix else self.out / "recipe.json"


@dataclass(frozen=True, kw_only=True)
class Done:
    """What came of a job: the record, and whether the clip was made now or had been before."""

    job: Job
    record: dict[str, Any]
    new: bool


def degrade(job: Job) -> Done:
    """Write the degraded clip and then its record, each whole or not at all, unless both are there already.

    The record holds the recipe with every value of every frame, the seeds, hashes (`hashes.content`) of what went in, less
    the pixels that 4 does not divide, and of the output as decoded again, and versions. Draws and noise depend only on the
    clip's name without its suffix and on `seed`.

    FileNotFoundError or ValueError if the clip cannot be read, is smaller than 4 pixels, does not fit the recipe or would be
    overwritten.
    """
    cv2.setNumThreads(1)  # there is one worker per core
    about, size = _look(job)
    generator, noise_seed = named.seeded(job.source.resolve().stem, job.seed)
    recipe = job.recipe
    if isinstance(recipe, str):
        recipe = named.draw(recipe, generator, about.frames, about.height, about.width)
    _check_fits(job, recipe, about)
    record = {
        "format": FORMAT,
        "clip": job.source.resolve().stem,
        "seed": job.seed,
        "noise_seed": noise_seed,
        "cropped_from": None if size == (about.height, about.width) else list(size),
        "source_sha256": about.sha256,
        "recipe": recipe,
    }
    found = _found(job)
    if found is not None and all(found.get(name) == value for name, value in record.items()):
        return Done(job=job, record=found, new=False)
    job.record.unlink(missing_ok=True)  # a record never stands beside what it does not describe
    lq = named.apply(recipe, _pixels(job.source), noise_seed)
    tensors = (rearrange(torch.from_numpy(np.ascontiguousarray(frame)), "h w c -> c h w") for frame in lq)
    video.write(job.out, tensors, video.info(job.source).fps)
    record |= {"lq_sha256": content(video.stream(job.out)).sha256, "versions": versions()}
    files.write_text(job.record, json.dumps(record, allow_nan=False) + "\n")
    return Done(job=job, record=record, new=True)


def steps(done: Done) -> list[tuple[Stage, UInt8[ndarray, "h w 3"]]]:
    """Degrade a clip once more and return its first frame, clean and after every step, each with the step."""
    firsts: list[tuple[Stage, UInt8[ndarray, "h w 3"]]] = [({"op": "clean"}, next(_pixels(done.job.source)))]

    def watch(stage: Stage, frames: Frames) -> Frames:
        for number, frame in enumerate(frames):
            if number == 0:
                firsts.append((stage, np.rint(np.clip(frame, 0, 255)).astype(np.uint8)))
            yield frame

    for _ in named.apply(done.record["recipe"], _pixels(done.job.source), done.record["noise_seed"], watch):
        pass
    return firsts


def _look(job: Job) -> tuple[Content, tuple[int, int]]:
    if job.source.resolve() == job.out.resolve():
        raise ValueError(f"{job.out}: IN and OUT are the same; the input would be lost")
    _, height, width = next(video.stream(job.source)).shape
    if min(height, width) < named.SCALE:
        raise ValueError(f"{job.source}: {width}x{height} pixels; allowed: at least {named.SCALE}x{named.SCALE}")
    return content(cropped(video.stream(job.source))), (height, width)


def _check_fits(job: Job, recipe: Mapping[str, Any], about: Content) -> None:
    wanted = tuple(recipe[name] for name in ("frames", "height", "width"))
    if wanted != about[:3]:
        raise ValueError(
            f"{job.source}: {about.frames} frames of {about.width}x{about.height} pixels; the recipe is for {wanted[0]} frames "
            f"of {wanted[2]}x{wanted[1]}"
        )


def _found(job: Job) -> dict[str, Any] | None:
    """Return the record of a clip that is there, whole and as it was made; None where it has to be made."""
    try:
        record = json.loads(job.record.read_text(encoding="utf-8"))
        return record if holds(job.out, record["lq_sha256"]) else None
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None


def _pixels(source: Path) -> Iterator[UInt8[ndarray, "h w 3"]]:
    return (rearrange(frame, "c h w -> h w c").contiguous().numpy() for frame in cropped(video.stream(source)))
