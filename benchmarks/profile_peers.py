"""Profile methods side by side in one run: OASIS dense and routed, Wan behind a VAE encoder, DOVE's architecture; by step.

All have random weights, on which neither time nor memory depends.
Example: profile_peers.py --device cuda --size 33x180x320 --csv runs/peers.csv
"""

import argparse
import sys

from oasis.cli.options import sizes
from oasis.cli.timing import door, show
from oasis.timing import peers
from oasis.timing.found import Setting

RANDOM_WEIGHTS = "RANDOM WEIGHTS: times, memory and FLOPs of architectures; nothing here says how well a method upscales"


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--size", metavar="TxHxW", help="frames (8k+1), rows, columns (multiples of 4) of LQ (33x180x320; --small: 9x16x24)"
    )
    parser.add_argument("--small", action="store_true", help="two narrow layers of each: shows that it runs, and nothing else")


def run(args: argparse.Namespace, setting: Setting) -> None:
    t, h, w = sizes("--size", args.size or ("9x16x24" if args.small else "33x180x320"), 3)
    print(RANDOM_WEIGHTS, flush=True)
    found = peers.profile(peers.methods(small=args.small), (t, h, w), setting, memory=not args.no_memory)
    counters = {row.method: row.counter for row in found.rows}
    show(found, [f"FLOPs of {method}: {counter}" for method, counter in counters.items()], args.csv)


if __name__ == "__main__":
    sys.exit(door(__doc__, add, run))
