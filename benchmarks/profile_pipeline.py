"""Profile a video file upscaled into another: decode, network, encode; frames per second with and without I/O.

Example: profile_pipeline.py --clip in.mp4 --routing runs/profile-tiny/routing.json --suffix .mkv
"""

import argparse
import sys
from pathlib import Path

from oasis.cli.options import NETWORK_BACKENDS, sizes
from oasis.cli.timing import door, show
from oasis.timing import model, pipeline, trends
from oasis.timing.found import Setting
from oasis.timing.routings import THIRDS
from oasis.upscale import Tiling


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--clip", metavar="FILE", type=Path, help="a video or a folder of PNG (a built-in clip)")
    parser.add_argument("--suffix", choices=(".mp4", ".mkv"), default=".mp4", help="of the file that is written (%(default)s)")
    parser.add_argument("--model", default="tiny", help="tiny, a folder, or random-tiny | random-wan-1.3b[-fast]")
    parser.add_argument("--layers", type=int, help="of random-*: only so many layers")
    parser.add_argument("--tile", metavar="TxHxW", default="17x48x80", help="frames and LQ pixels at a time (%(default)s)")
    parser.add_argument("--routing", metavar="R", action="append", help=f"routing.json or pattern=share,... ({THIRDS})")
    parser.add_argument("--backend", action="append", choices=NETWORK_BACKENDS, help="of routed (folded)")


def run(args: argparse.Namespace, setting: Setting) -> None:
    networks = model.Request(
        model=args.model,
        layers=args.layers,
        routings=args.routing or [THIRDS],
        backends=args.backend or ["folded"],
        memory=not args.no_memory,
        setting=setting,
    )
    tiling = Tiling.of(*sizes("--tile", args.tile, 3))
    found = pipeline.profile(pipeline.Request(networks=networks, clip=args.clip, suffix=args.suffix, tiling=tiling))
    lines = []
    for io, text in ((True, "with"), (False, "without")):
        lines += [f"{name}: {rate:.2f} frames/s {text} I/O" for name, rate in trends.frame_rates(found, io=io).items()]
    show(found, lines, args.csv)


if __name__ == "__main__":
    sys.exit(door(__doc__, add, run))
