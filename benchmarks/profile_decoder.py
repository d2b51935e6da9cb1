"""Profile the Wan decoder against diffusers': time per latent frame, streamed, whole and in tiles; peak memory; seams.

Example: profile_decoder.py --latents 3x8x12 --latents 6x8x12 --tile 8x8 --overlap 2 --threads 1 --csv decoder.csv
"""

import argparse
import sys
from pathlib import Path
from typing import get_args

from oasis.cli.options import at_least_one, sizes
from oasis.cli.timing import door, show
from oasis.configs import WAN_1_3B
from oasis.timing import decoder
from oasis.timing.found import Found, Setting

WAYS = [way for way in get_args(decoder.Way) if way not in ("compiled", "graphed")]


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--latents", metavar="TxHxW", action="append", help="frames, rows, columns of latents (3x8x12)")
    parser.add_argument("--width", type=int, default=WAN_1_3B.vae.width, help="base width (%(default)s, that of Wan2.1)")
    parser.add_argument("--vae", metavar="FILE", type=Path, help="weights of a Wan VAE (.safetensors), else random ones")
    parser.add_argument("--tile", metavar="HxW", default="8x8", help="rows and columns of latents (%(default)s)")
    parser.add_argument("--overlap", type=int, default=2, help="latents that neighbouring tiles share (%(default)s)")
    parser.add_argument("--compile", action="store_true", help="add streaming with a compiled step")
    parser.add_argument("--graph", action="store_true", help="add streaming with a step replayed as a CUDA graph (CUDA only)")


def run(args: argparse.Namespace, setting: Setting) -> None:
    cases = [sizes("--latents", text, 3) for text in args.latents or ["3x8x12"]]
    height, width = sizes("--tile", args.tile, 2)
    candidates = [
        decoder.Candidate(
            way=way,
            width=at_least_one("--width", args.width),
            tile=(height, width),
            overlap=args.overlap,
            vae=args.vae,
            device=setting.device,
            dtype=setting.dtype,
        )
        for way in [*WAYS, *(["compiled"] if args.compile else []), *(["graphed"] if args.graph else [])]
    ]
    tiles = candidates[WAYS.index("tiles")]
    title = "RANDOM WEIGHTS" if args.vae is None else f"weights of {args.vae.name}"
    print(f"{title}, random latents; base width {args.width}")
    seams = [line for case in cases for line in seam_lines(tiles, case)]  # first, because it refuses wrong tiles
    found = decoder.profile(candidates, cases, setting, memory=not args.no_memory)
    found.about["weights"] = title
    show(found, [*per_latent_frame(found), *seams], args.csv)


def per_latent_frame(found: Found) -> list[str]:
    lines = []
    for row in found.rows:
        frames = int(row.case.split("x")[0])
        lines.append(f"{row.subject} on {row.case}: {row.p50 / frames:.4f} s per latent frame, {row.ratio:.3f} of diffusers'")
    return lines


def seam_lines(tiles: decoder.Candidate, case: decoder.Size) -> list[str]:
    name = f"{tiles.name} on {'x'.join(map(str, case))}"
    lines = [
        f"{name}: {band.start} to {band.stop} pixels from a seam, error {band.mean:.2g} in the mean, {band.most:.2g} at most"
        for band in decoder.seam_errors(tiles, case)
    ]
    return [*lines, f"{name}: errors in standard deviations of the clip decoded whole"] if lines else [f"{name}: no seam"]


if __name__ == "__main__":
    sys.exit(door(__doc__, add, run))
