"""bench: everything, measured anew."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from oasis.cli.options import at_least_one, check_kind, command, device

if TYPE_CHECKING:
    from oasis.cli.options import Commands


def add(commands: "Commands") -> None:
    """Add the subcommand that measures everything."""
    summary = (
        "measure everything on this machine: profile heads, route, upscale the held-out built-in clips by every method, score, "
        "time, count, and write rows and pictures for `oasis report`"
    )
    bench = command(commands, "bench", _bench, summary)
    bench.add_argument("--model", default="tiny", help="tiny (trained, built in), or the folder of a checkpoint")
    bench.add_argument(
        "--clips", metavar="N", type=int, help="use only the first test clips, and as many training clips for heads"
    )
    bench.add_argument(
        "--frames", metavar="N", type=int, default=17, help="use only the first frames of each clip (%(default)s)"
    )
    bench.add_argument(
        "--workers", metavar="N", type=int, default=os.cpu_count() or 1, help="methods scored at a time (%(default)s)"
    )
    bench.add_argument("--device", choices=("cpu", "cuda"), help="where networks run (cuda if there is one)")
    bench.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        default=Path("runs/bench"),
        help="rows, cards, pictures, and the report made of them (%(default)s)",
    )
    bench.add_argument(
        "--work", metavar="DIR", type=Path, help="clips, outputs, scores; a stopped run goes on from there (OUT/work)"
    )


def _bench(args: argparse.Namespace) -> int:
    from oasis.suite import bench
    from oasis.suite.settings import Settings

    work = args.work or args.out / "work"
    for folder in (args.out, work):
        check_kind(folder, folder=True)
    settings = Settings(model=args.model, clips=args.clips, frames=args.frames, device=device(args.device))
    done = bench.run(settings, args.out, work, workers=at_least_one("--workers", args.workers))
    print("\n".join(done.lines))
    print(args.out / "index.html")
    return 0 if done.complete else 1
