"""Degraded frames per second by recipe, in worker processes, decoding of the clean clip included.

On a machine that others use, too, compare frames per CPU second.
"""

import argparse
import csv
import itertools
import os
import platform
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import cv2

from oasis import dist, video
from oasis.cli.options import at_least_one, status_of
from oasis.data import builtin
from oasis.data.clips import as_tensor
from oasis.degrade import named
from oasis.files import replacing

COLUMNS = (
    "recipe",
    "frames_per_s",
    "frames_per_cpu_s",
    "slowest_clip_per_cpu_s",
    "clips",
    "frames",
    "height",
    "width",
    "workers",
)
PACKAGES = ("numpy", "opencv-python-headless", "av")


@dataclass(frozen=True)
class Job:
    """A recipe of `name` to draw, the `number`-th, for the first frames of a clip."""

    clip: Path
    frames: int
    name: str
    number: int


def degrade(job: Job) -> tuple[float, float, float, int]:
    """Degrade a clip by a recipe of its own; return when it began and ended, its CPU time, and how many frames came out."""
    cv2.setNumThreads(1)  # there is one worker per core
    start, cpu = time.monotonic(), time.process_time()  # the first has one origin for all processes of a machine
    pixels = list(itertools.islice(video.arrays(job.clip), job.frames))
    generator, seed = named.seeded(f"clip-{job.number}", 0)
    height, width = (side - side % named.SCALE for side in pixels[0].shape[:2])
    recipe = named.draw(job.name, generator, len(pixels), height, width)
    count = sum(1 for _ in named.apply(recipe, (frame[:height, :width] for frame in pixels), seed))
    return start, time.monotonic(), time.process_time() - cpu, count


def row(name: str, args: argparse.Namespace, clip: Path) -> tuple[object, ...]:
    jobs = [Job(clip, args.frames, name, number) for number in range(args.clips)]
    answers = [answer for _, answer in dist.run(degrade, jobs, workers=args.workers)]
    starts, ends, cpus, counts = zip(*answers, strict=True)
    about = video.info(clip)
    rates = (
        sum(counts) / (max(ends) - min(starts)),
        sum(counts) / sum(cpus),
        min(n / t for n, t in zip(counts, cpus, strict=True)),
    )
    return name, *rates, len(jobs), counts[0], about.height, about.width, args.workers


def main() -> int:
    """Return the exit status: 2 after one sentence where the input does not fit."""
    return status_of(profile)


def profile() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clip", type=Path, help="a clean clip (by default a built-in one of 1280x720)")
    parser.add_argument("--recipes", nargs="+", choices=named.NAMES, default=list(named.NAMES), metavar="NAME")
    parser.add_argument("--frames", type=int, default=16, help="the first frames of the clip (%(default)s)")
    parser.add_argument("--clips", type=int, default=16, help="how many recipes are drawn for each name (%(default)s)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (%(default)s)")
    parser.add_argument("--csv", type=Path, help="add the rows to this file, too")
    args = parser.parse_args()
    for name in ("frames", "clips", "workers"):
        at_least_one(f"--{name}", getattr(args, name))
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        clip = args.clip or Path(scratch, "clip.mkv")
        if not args.clip:
            clear = builtin.make(builtin.names("test")[0], frames=args.frames, height=720, width=1280).hr
            video.write(clip, as_tensor(clear), builtin.FPS)
        for name in args.recipes:
            rows.append(row(name, args, clip))
            line = (
                "{:22} {:6.1f} frames/s, {:6.1f} per CPU second (slowest clip {:.1f}); {} clips of {} frames {}x{}, {} workers"
            )
            print(line.format(*rows[-1]), flush=True)
    if args.csv:
        where = (os.cpu_count(), *map(version, PACKAGES), platform.python_version())
        append(args.csv, [(*each, *where) for each in rows])


def append(path: Path, rows: list[tuple[object, ...]]) -> None:
    header = [*COLUMNS, "cores", *(f"{package}_version" for package in PACKAGES), "python_version"]
    earlier = list(csv.reader(path.read_text(encoding="utf-8").splitlines())) if path.exists() else [header]
    if earlier[:1] != [header]:
        raise ValueError(f"{path}: has other columns; allowed: {', '.join(header)}, or a new file")
    with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([*earlier, *rows])


if __name__ == "__main__":
    sys.exit(main())
