"""study, redundancy: everything about the heads of one model in one report; what else is redundant."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from oasis.cli.options import at_least_one, check_kind, command, device, sizes

if TYPE_CHECKING:
    from oasis.cli.options import Commands


def add(commands: "Commands") -> None:
    """Add the subcommands."""
    study = command(
        commands,
        "study",
        _study,
        "ask everything about the heads of one model, on the built-in clips, and write one linked report: how stable their "
        "statistics are, whether these foretell harm, which routing is best at which cost, what else is redundant",
    )
    study.add_argument("work", metavar="WORK", type=Path, help="folder of what is measured; a stopped run goes on")
    _add_size(study)
    study.add_argument("--out", metavar="FOLDER", type=Path, help="folder of the report (WORK/report)")
    study.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes for harm and frontier (%(default)s)")

    redundancy = command(
        commands,
        "redundancy",
        _redundancy,
        "measure what else is redundant: heads and layers that are alike, groups of heads, layers left out, the prompt, the "
        "timestep, tokens that repeat",
    )
    redundancy.add_argument("out", metavar="OUT", type=Path, help="folder of tables, pictures and pages")
    redundancy.add_argument(
        "--data", default="builtin-train", help="builtin[-train|-test], a video, a folder of PNG or of clips (%(default)s)"
    )
    _add_size(redundancy)


def _add_size(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", default="tiny", help="a dense model: tiny, a folder, or random-tiny | random-wan-1.3b[-fast]"
    )
    parser.add_argument("--clips", metavar="N", type=int, default=6, help="the first N (%(default)s)")
    parser.add_argument("--frames", type=int, default=9, help="of each clip, at most (%(default)s)")
    parser.add_argument(
        "--crop", metavar="HxW", default="32x48", help="LQ pixels of each clip, cut from the middle (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of everything that is drawn (%(default)s)")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="where to compute (cuda if there is one)")


def _study(args: argparse.Namespace) -> None:
    from oasis.data.cutting import Cut
    from oasis.study import run

    height, width = sizes("--crop", args.crop, 2)
    request = run.Request(
        model=args.model,
        cut=Cut(frames=args.frames, crop=(height, width), clips=args.clips),
        seed=args.seed,
        device=device(args.device),
    )
    out = args.out or args.work / "report"
    check_kind(args.work, folder=True)
    check_kind(out, folder=True)
    print(run.run(request, args.work, out, workers=at_least_one("--workers", args.workers), say=print))


def _redundancy(args: argparse.Namespace) -> None:
    from oasis.data.cutting import Cut
    from oasis.redundancy import run

    height, width = sizes("--crop", args.crop, 2)
    request = run.Request(
        model=args.model,
        data=args.data,
        cut=Cut(frames=args.frames, crop=(height, width), clips=args.clips),
        seed=args.seed,
        device=device(args.device),
    )
    check_kind(args.out, folder=True)
    print(run.run(request, args.out))
