"""degrade: low-quality input from clean clips."""

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oasis.cli.options import at_least_one, check_kind, command

if TYPE_CHECKING:
    from oasis.cli.options import Commands
    from oasis.data.degrading import Done, Job


def add(commands: "Commands") -> None:
    """Add the subcommand."""
    degrade = command(commands, "degrade", _degrade, "make x4 smaller, degraded copies of clips, with the recipe beside them")
    degrade.add_argument("input", metavar="IN", type=Path, help="a video, a folder of PNG, or a folder of such clips")
    degrade.add_argument(
        "output",
        metavar="OUT",
        type=Path,
        help="NAME.mkv (lossless), NAME.mp4 (H.264), or a folder of PNG; of several clips a folder that gets CLIP.mkv",
    )
    degrade.add_argument(
        "--recipe",
        metavar="NAME|FILE",
        default="standard",
        help="standard (the default), standard-inconsistent, consistent, inconsistent, inconsistent-iid, realbasicvsr, dove, "
        "consistent-dove, consistent-frozen, bi, bd, or a recipe that was written before, with its .json",
    )
    degrade.add_argument("--seed", type=int, default=0, help="of draws and noise, together with a clip's name (%(default)s)")
    degrade.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="clips at a time (%(default)s)")
    degrade.add_argument("--sheet", metavar="PNG", type=Path, help="draw what every step does to the (first) clip")


def _degrade(args: argparse.Namespace) -> None:
    from tqdm import tqdm

    from oasis import dist
    from oasis.data.degrading import degrade

    jobs = _jobs(args.input, args.output, _recipe(args.recipe), args.seed)
    if args.sheet and (args.sheet.suffix != ".png" or not args.sheet.parent.is_dir()):
        raise ValueError(f"--sheet is {args.sheet}; allowed: a name that ends in .png, in a folder that exists")
    workers = min(at_least_one("--workers", args.workers), len(jobs))
    done: dict[int, Done] = {}
    with tqdm(desc="degrading", unit="clip", total=len(jobs), disable=None if len(jobs) > 1 else True) as progress:
        for number, answer in dist.run(degrade, jobs, workers=workers):
            if isinstance(answer, dist.Lost):
                raise ValueError(f"{jobs[number].source}: {answer}")
            done[number] = answer
            progress.update()
    for number in sorted(done):
        print(_said(done[number]))
    if args.sheet:
        _draw(args.sheet, done[0])


def _recipe(text: str) -> "str | Mapping[str, Any]":
    """Return a name as it is, and what a file holds."""
    from oasis.degrade import named

    if text in named.NAMES:
        return text
    if not text.endswith(".json"):
        raise ValueError(f"--recipe is {text!r}; allowed: {', '.join(named.NAMES)}, or the path of a recipe, NAME.json")
    return named.load(Path(text))


def _jobs(source: Path, out: Path, recipe: "str | Mapping[str, Any]", seed: int) -> "list[Job]":
    from oasis.data import clips
    from oasis.data.degrading import Job

    found = clips.find(source)
    if found == [source]:
        check_kind(out, folder=not out.suffix)
        return [Job(source=source, out=out, recipe=recipe, seed=seed)]
    if out.suffix:
        raise ValueError(f"{out}: {source} holds {len(found)} clips; allowed: a folder, whose name has no suffix")
    check_kind(out, folder=True)
    out.mkdir(parents=True, exist_ok=True)
    return [Job(source=path, out=out / f"{path.stem}.mkv", recipe=recipe, seed=seed) for path in found]


def _said(done: "Done") -> str:
    recipe, cropped = done.record["recipe"], done.record["cropped_from"]
    size = f"{recipe['width'] // 4}x{recipe['height'] // 4}"
    words = [f"{recipe['name']}, seed {done.record['seed']}", f"{recipe['frames']} frames of {size}"]
    if cropped:
        kept = f"{recipe['width']}x{recipe['height']}"
        words.append(f"of {cropped[1]}x{cropped[0]} pixels only {kept} were used, cropped at the right and bottom")
    if not done.new:
        words.append("was there already")
    return f"{done.job.out}  {'; '.join(words)}; {done.job.record}"


def _draw(path: Path, done: "Done") -> None:
    import numpy as np

    from oasis import files, video
    from oasis.data.degrading import steps
    from oasis.report.plots import render
    from oasis.report.steps import contact_sheet

    recipe = done.record["recipe"]
    rows = np.stack([frame[frame.shape[0] // 2] for frame in video.arrays(done.job.out)])
    title = f"{done.record['clip']}: {recipe['name']}, seed {done.record['seed']}, frame 0"
    with files.replacing(path) as temporary:
        temporary.write_bytes(render(contact_sheet(title, steps(done), rows), "png"))
    print(path)
