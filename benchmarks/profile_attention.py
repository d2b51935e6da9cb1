"""Profile routed attention and the probe against the best dense backend here: time, peak memory, growth, crossover.

Example: profile_attention.py --routing frame --routing global=1,window-8x8=2 --frames 1,3,5,9 --csv attention.csv
"""

import argparse
import sys

from oasis.cli.options import NETWORK_BACKENDS, at_least_one, sizes
from oasis.cli.timing import door, show
from oasis.cost import layer_flops
from oasis.grid import Grid
from oasis.routing import GLOBAL
from oasis.timing import attention, routings, trends
from oasis.timing.found import Setting
from oasis.timing.routings import THIRDS


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--grid", metavar="TxHxW", default="5x24x40", help="tokens (%(default)s)")
    parser.add_argument("--frames", metavar="T,T", default="1,2,3", help="sweep these lengths, too (%(default)s; '' for none)")
    parser.add_argument("--sizes", metavar="HxW,HxW", default="8x16,16x24", help="and these resolutions (%(default)s)")
    parser.add_argument("--heads", type=int, default=12)
    parser.add_argument("--d", type=int, default=64, help="width of a head (%(default)s)")
    parser.add_argument("--routing", metavar="R", action="append", help=f"pattern=share,... or routing.json:LAYER ({THIRDS})")
    parser.add_argument("--backend", action="append", choices=NETWORK_BACKENDS, help="of routed (folded)")
    parser.add_argument("--no-probe", action="store_true", help="leave out the probe")


def whole_numbers(option: str, text: str) -> list[int]:
    parts = text.split(",") if text else []
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise ValueError(f"{option} is {text!r}; allowed: whole numbers of at least 1 with commas between them, or nothing")
    return [int(part) for part in parts]


def run(args: argparse.Namespace, setting: Setting) -> None:
    base = Grid(*sizes("--grid", args.grid, 3))
    lengths = [Grid(frames, base.h, base.w) for frames in whole_numbers("--frames", args.frames)]
    shapes = [Grid(base.t, *sizes("--sizes", text, 2)) for text in args.sizes.split(",") if text]
    request = attention.Request(
        grids=list(dict.fromkeys([base, *lengths, *shapes])),
        heads=at_least_one("--heads", args.heads),
        d=at_least_one("--d", args.d),
        routings=[routings.layer(text, args.heads) for text in args.routing or [THIRDS]],
        backends=args.backend or ["folded"],
        probe=not args.no_probe,
        memory=not args.no_memory,
        setting=setting,
    )
    found = attention.profile(request)
    lines = []
    for kind, grids in (("length", [base, *lengths]), ("resolution", [base, *shapes])):
        for name, fit in trends.growths(found, [str(grid) for grid in grids]).items():
            lines.append(f"{name}: time grows with {kind} as {fit}")
    for name, point in trends.crossovers(found, list(found.tokens)).items():
        lines.append(f"{name} beats {attention.DENSE}: {point}")
    for patterns in request.routings:
        share = layer_flops(patterns, base, args.d) / layer_flops([GLOBAL] * args.heads, base, args.d)
        lines.append(f"{routings.label(patterns)} has {share:.3f} of the FLOPs of dense attention on {base}")
    show(found, lines, args.csv)


if __name__ == "__main__":
    sys.exit(door(__doc__, add, run))
