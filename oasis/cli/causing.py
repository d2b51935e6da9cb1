"""harm, frontier: what heads do to the output, and routings judged by what they lose."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from oasis.cli.options import at_least_one, check_kind, command, device, sizes

if TYPE_CHECKING:
    from oasis.cli.options import Commands
    from oasis.report.chapters import Chapter


def add(commands: "Commands") -> None:
    """Add the subcommands about causes."""
    summary = "change the pattern of heads one by one, in pairs and by layers, and ask which statistic predicts the harm"
    harm = command(commands, "harm", _harm, summary)
    harm.add_argument("work", metavar="WORK", type=Path, help="folder of finished chunks; a stopped run goes on")
    harm.add_argument("--model", default="tiny", help="a dense model: tiny, a folder, random-tiny, ... (%(default)s)")
    harm.add_argument(
        "--data", default="builtin-train", help="builtin-train, a video, a folder of PNG, or a folder of clips (%(default)s)"
    )
    harm.add_argument("--patterns", metavar="LIST", help="patterns to put heads under, comma-separated (frame,window-8x8)")
    harm.add_argument("--frames", type=int, default=9, help="frames of each clip, at most (%(default)s)")
    harm.add_argument("--crop", metavar="HxW", default="32x48", help="LQ pixels of each clip, from the middle (%(default)s)")
    harm.add_argument("--clips", metavar="N", type=int, default=4, help="use the first clips only (%(default)s)")
    harm.add_argument("--pairs", metavar="N", type=int, default=64, help="pairs of heads, half of one layer (%(default)s)")
    harm.add_argument("--seed", type=int, default=0, help="of the drawn pairs (%(default)s)")
    harm.add_argument("--backend", choices=("folded", "masked", "flex"), default="folded", help="attention (%(default)s)")
    harm.add_argument("--out", metavar="FOLDER", type=Path, help="folder of tables, figures and page (WORK/harm)")
    _add_work(harm)

    summary = "choose routings by statistics, by harm and by chance, execute all on held-out clips, and draw cost against loss"
    frontier = command(commands, "frontier", _frontier, summary)
    frontier.add_argument("work", metavar="WORK", type=Path, help="folder of finished chunks; a stopped run goes on")
    frontier.add_argument("--harms", metavar="FOLDER", type=Path, help="what `oasis harm` wrote (WORK/harm)")
    frontier.add_argument("--model", default="tiny", help="the model that the harms are of (%(default)s)")
    frontier.add_argument("--data", default="builtin-test", help="clips that judge, others than the harms are of (%(default)s)")
    frontier.add_argument("--clips", metavar="N", type=int, help="use the first clips only (all)")
    frontier.add_argument("--seeds", type=int, default=5, help="draws of each random arm (%(default)s)")
    frontier.add_argument("--out", metavar="FOLDER", type=Path, help="folder of tables, figures and page (WORK/frontier)")
    _add_work(frontier)


def _add_work(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes, a chunk each (%(default)s)")
    parser.add_argument("--engine", choices=("local", "ray"), default="local", help="where they run (%(default)s)")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="where to compute (cuda if there is one)")


def _harm(args: argparse.Namespace) -> None:
    from oasis.causality import harm
    from oasis.causality.measured import PATTERNS, Request
    from oasis.data.cutting import Cut

    height, width = sizes("--crop", args.crop, 2)
    request = Request(
        model=args.model,
        data=args.data,
        patterns=tuple(args.patterns.split(",")) if args.patterns else PATTERNS,
        cut=Cut(frames=args.frames, crop=(height, width), clips=args.clips),
        pairs=args.pairs,
        seed=args.seed,
        backend=args.backend,
        device=device(args.device),
    )
    out = _out(args, "harm")
    _say(harm.run(request, args.work, out, workers=at_least_one("--workers", args.workers), engine=args.engine), out)


def _frontier(args: argparse.Namespace) -> None:
    from oasis import harms
    from oasis.causality import frontier
    from oasis.causality.executed import Request
    from oasis.data.cutting import Cut

    folder = args.harms or args.work / "harm"
    _, decided = harms.read(folder / "harms.csv")
    request = Request(
        harms=folder,
        model=args.model,
        data=args.data,
        cut=Cut(frames=decided["frames"], crop=tuple(decided["crop"]), clips=args.clips),
        seeds=args.seeds,
        device=device(args.device),
    )
    out = _out(args, "frontier")
    _say(frontier.run(request, args.work, out, workers=at_least_one("--workers", args.workers), engine=args.engine), out)


def _out(args: argparse.Namespace, name: str) -> Path:
    out = args.out or args.work / name
    check_kind(args.work, folder=True)
    check_kind(out, folder=True)
    return out


def _say(chapter: "Chapter", out: Path) -> None:
    for finding in chapter.findings:
        print(f"{finding.verdict:10s} {finding.text}")
    print(out / "index.html")
