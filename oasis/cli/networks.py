"""upscale, describe: the network itself."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from oasis.cli.options import add_compute, at_least_one, check_kind, command, device, sizes

if TYPE_CHECKING:
    from oasis.cli.options import Commands


def add(commands: "Commands") -> None:
    """Add the subcommands about the network."""
    upscale = command(commands, "upscale", _upscale, "upscale a video; as many frames come out, each exactly x4 as large")
    upscale.add_argument("input", metavar="IN", type=Path, help="a video or a folder of PNG")
    upscale.add_argument("output", metavar="OUT", type=Path, help="NAME.mp4 (H.264), NAME.mkv (lossless), or a folder of PNG")
    upscale.add_argument("--model", default="tiny", help="tiny, tiny-routed, a folder, or random-tiny | random-wan-1.3b[-fast]")
    upscale.add_argument(
        "--routing", metavar="FILE", type=Path, help="routing.json of the model; without it dense, or tiny-routed's own"
    )
    upscale.add_argument("--frames", type=int, help="upscale only the first frames")
    upscale.add_argument("--tile", metavar="TxHxW", default="17x48x80", help="frames and LQ pixels at a time (%(default)s)")
    add_compute(upscale)

    describe = command(commands, "describe", _describe, "print a network's parameters by part, without building its weights")
    describe.add_argument("preset", choices=("tiny", "wan-1.3b", "wan-1.3b-fast"))


def _upscale(args: argparse.Namespace) -> None:
    import itertools

    from tqdm import tqdm

    from oasis import upscale, video
    from oasis.model import load_model
    from oasis.routing import GLOBAL, RoutingTable

    tiling = upscale.Tiling.of(*sizes("--tile", args.tile, 3))
    check_kind(args.output, folder=not args.output.suffix)
    if args.input.resolve() == args.output.resolve():
        raise ValueError(f"{args.output}: IN and OUT are the same; the input would be lost")
    table = RoutingTable.load(args.routing) if args.routing else None
    about = video.info(args.input)
    loaded = load_model(args.model, table)
    loaded.model.to(device(args.device)).dit.backend = args.backend
    if not loaded.trained:
        print("RANDOM WEIGHTS: the output says nothing about a trained model", file=sys.stderr)
    taken = itertools.islice(video.stream(args.input), None if args.frames is None else at_least_one("--frames", args.frames))
    with tqdm(desc="upscaling", unit="frame", total=args.frames, delay=0.5, dynamic_ncols=True) as progress:
        video.write(args.output, upscale.upscale(loaded.model, taken, tiling, tick=progress.update), about.fps)
    dense = all(pattern == GLOBAL for layer in loaded.model.dit.patterns for pattern in layer)
    kind = f"routed by {args.routing}" if table else "dense" if dense else "on its own routing"
    print(f"{args.output}  {loaded.model.config.name}, {kind}, attention {args.backend}")


def _describe(args: argparse.Namespace) -> None:
    import torch

    from oasis.configs import PRESETS
    from oasis.model.oasis import Oasis, describe

    with torch.device("meta"):
        print(describe(Oasis(PRESETS[args.preset])))
