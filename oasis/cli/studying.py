"""redundancy: what else a network does twice, besides what its attention patterns say."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from oasis.cli.options import at_least_one, check_kind, command, device, sizes

if TYPE_CHECKING:
    from oasis.cli.options import Commands


def add(commands: "Commands") -> None:
    """Add the subcommands."""
    redundancy = command(
        commands,
        "redundancy",
        _redundancy,
        "measure what else is redundant: heads and layers that are alike, groups of heads, layers left out, the prompt, the "
        "timestep, tokens that repeat",
    )
    redundancy.add_argument("out", metavar="OUT", type=Path, help="folder of tables, pictures and pages")
    _add_what(redundancy)
    redundancy.add_argument("--clips", metavar="N", type=int, default=6, help="the first N by name (%(default)s)")


def _add_what(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="tiny", help="tiny, tiny-routed, a folder, or random-tiny | random-wan-1.3b[-fast]")
    parser.add_argument(
        "--data", default="builtin-train", help="builtin[-train|-test], a video, a folder of PNG or of clips (%(default)s)"
    )
    parser.add_argument("--frames", type=int, default=9, help="of each clip, at most (%(default)s)")
    parser.add_argument(
        "--crop", metavar="HxW", default="32x48", help="LQ pixels of each clip, cut from the middle (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of everything that is drawn (%(default)s)")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="where to compute (cuda if there is one)")


def _redundancy(args: argparse.Namespace) -> None:
    from oasis.redundancy import run

    height, width = sizes("--crop", args.crop, 2)
    request = run.Request(
        model=args.model,
        data=args.data,
        clips=at_least_one("--clips", args.clips),
        frames=at_least_one("--frames", args.frames),
        crop=(height, width),
        seed=args.seed,
        device=device(args.device),
    )
    check_kind(args.out, folder=True)
    print(run.run(request, args.out))
