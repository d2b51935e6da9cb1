"""Profile a whole network by phase, dense against routed, with Amdahl's ceiling: what free self-attention would give.

Example: profile_model.py --model random-wan-1.3b --layers 2 --clip 9x90x160 --routing global=1,frame=1,window-8x8=1
"""

import argparse
import sys

from oasis.cli.options import NETWORK_BACKENDS, sizes
from oasis.cli.timing import door, show
from oasis.timing import model, trends
from oasis.timing.found import Setting
from oasis.timing.routings import THIRDS


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="tiny", help="tiny, a folder, or random-tiny | random-wan-1.3b[-fast]")
    parser.add_argument("--layers", type=int, help="of random-*: only so many layers")
    parser.add_argument(
        "--clip", metavar="TxHxW", action="append", help="frames, rows, columns of LQ (17x48x80); several are fitted"
    )
    parser.add_argument("--routing", metavar="R", action="append", help=f"routing.json or pattern=share,... ({THIRDS})")
    parser.add_argument("--backend", action="append", choices=NETWORK_BACKENDS, help="of routed (folded)")
    parser.add_argument("--fp8", action="store_true", help="add every network with linear layers in fp8 (CUDA, bfloat16 only)")
    parser.add_argument("--graph", action="store_true", help="add every network with its steps as CUDA graphs (CUDA only)")


def run(args: argparse.Namespace, setting: Setting) -> None:
    request = model.Request(
        model=args.model,
        layers=args.layers,
        clips=[sizes("--clip", text, 3) for text in args.clip or ["17x48x80"]],
        routings=args.routing or [THIRDS],
        backends=args.backend or ["folded"],
        fp8=args.fp8,
        graph=args.graph,
        memory=not args.no_memory,
        setting=setting,
    )
    found = model.profile(request)
    lines = []
    for name, ceiling in trends.ceilings(found).items():
        lines.append(f"{name}: self-attention is {1 - 1 / ceiling:.1%}; if it were free, {ceiling:.2f} times as fast (Amdahl)")
    lines += [f"{name}: {rate:.2f} frames/s without I/O" for name, rate in trends.frame_rates(found, io=False).items()]
    lines += [f"{name}: time grows as {fit}" for name, fit in trends.growths(found, list(found.tokens)).items()]
    lines += [f"{name} beats dense: {point}" for name, point in trends.crossovers(found, list(found.tokens)).items()]
    show(found, lines, args.csv)


if __name__ == "__main__":
    sys.exit(door(__doc__, add, run))
