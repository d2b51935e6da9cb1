"""Degraded frames per second by recipe, in worker processes, decoding of the clean clip included; and where the time goes.

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
from collections import Counter
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import cv2

from oasis import dist, video
from oasis.cli.options import at_least_one, status_of
from oasis.data import builtin
from oasis.data.clips import as_tensor
from oasis.degrade import named
from oasis.degrade.stages import STAGES, Frames, Stage
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
    *(f"{step}_ms" for step in (*STAGES, "rest")),
)
PACKAGES = ("numpy", "opencv-python-headless", "av")


@dataclass(frozen=True)
class Job:
    """A recipe of `name` to draw, the `number`-th, for the first frames of a clip."""

    clip: Path
    frames: int
    name: str
    number: int


@dataclass
class Stopwatch:
    """CPU seconds of every kind of step; steps call each other for frames, and each is charged for its own work alone."""

    seconds: Counter[str] = field(default_factory=Counter)
    running: str = "rest"
    since: float = field(default_factory=time.process_time)

    def watch(self, stage: Stage, frames: Frames) -> Frames:
        """Pass frames on; what their making takes is the step's, except while it waits for a step before it."""
        while True:
            caller = self.switch(stage["op"])
            frame = next(frames, None)
            self.switch(caller)
            if frame is None:
                return
            yield frame

    def switch(self, step: str) -> str:
        """Charge the time since the last switch to the step that ran, let `step` run, and return who ran."""
        now, ran = time.process_time(), self.running
        self.seconds[ran] += now - self.since
        self.running, self.since = step, now
        return ran


@dataclass(frozen=True)
class Degraded:
    """When a clip began and ended, its frames, its CPU time, and that of every kind of step."""

    start: float
    end: float
    frames: int
    cpu: float
    seconds: Counter[str]


def degrade(job: Job) -> Degraded:
    """Degrade a clip by a recipe of its own."""
    cv2.setNumThreads(1)  # there is one worker per core
    start, cpu = time.monotonic(), time.process_time()  # the first has one origin for all processes of a machine
    pixels = list(itertools.islice(video.arrays(job.clip), job.frames))
    generator, seed = named.seeded(f"clip-{job.number}", 0)
    height, width = (side - side % named.SCALE for side in pixels[0].shape[:2])
    recipe = named.draw(job.name, generator, len(pixels), height, width)
    steps = Stopwatch()
    count = sum(1 for _ in named.apply(recipe, (frame[:height, :width] for frame in pixels), seed, steps.watch))
    steps.switch("rest")
    return Degraded(start, time.monotonic(), count, time.process_time() - cpu, steps.seconds)


def row(name: str, args: argparse.Namespace, clip: Path) -> tuple[object, ...]:
    jobs = [Job(clip, args.frames, name, number) for number in range(args.clips)]
    answers = [answer for _, answer in dist.run(degrade, jobs, workers=args.workers)]
    about, frames, cpu = video.info(clip), sum(each.frames for each in answers), sum(each.cpu for each in answers)
    rates = (
        frames / (max(each.end for each in answers) - min(each.start for each in answers)),
        frames / cpu,
        min(each.frames / each.cpu for each in answers),
    )
    seconds = sum((each.seconds for each in answers), Counter())
    seconds["rest"] = cpu - sum(seconds[step] for step in STAGES)  # decoding, drawing and rounding
    steps = (1000 * seconds[step] / frames for step in (*STAGES, "rest"))
    return name, *rates, len(jobs), answers[0].frames, about.height, about.width, args.workers, *steps


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
            steps = zip((*STAGES, "rest"), rows[-1][-len(STAGES) - 1 :], strict=True)
            print(" " * 23 + "CPU ms per frame: " + ", ".join(f"{step} {ms:.1f}" for step, ms in steps), flush=True)
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
