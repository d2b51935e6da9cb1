"""Profile what linear layers in fp8 cost in quality: the specification in plain torch, on the held-out built-in clips.

Example: profile_fp8.py --model tiny --model tiny-routed --device cpu --csv fp8.csv
"""

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from oasis import __version__, tables, video
from oasis.cli.options import Parser, at_least_one, device, status_of
from oasis.data import builtin
from oasis.data.clips import as_tensor
from oasis.metrics.pixel import psnr_y
from oasis.model import fp8, load_model
from oasis.model.oasis import Oasis

KINDS = ("float32", "fp8", "bfloat16", "bfloat16 with fp8")
"""float32 first: it is what the others are compared with."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """What a kind of numbers does to a clip, or to all of them in the mean.

    PSNR-Y in dB: `truth` to the ground truth, `difference` how much more that is than float32's, `output` to float32's output.
    `error` is that of the transformer's prediction as a share of the spread of float32's: skip and decoder hide it from pixels.
    """

    model: str
    numbers: str
    clip: str
    truth: float
    difference: float
    output: float
    error: float


class Upscaled(NamedTuple):
    """A clip, and what the transformer predicted for it."""

    frames: UInt8[Tensor, "t 3 y x"]
    predicted: Float[Tensor, "1 c t h w"]


def made(name: str, kind: str, where: str) -> Oasis:
    model = load_model(name).model.to(where, torch.bfloat16 if kind.startswith("bfloat16") else torch.float32)
    return fp8.replace(model, fp8.Rounded) if kind.endswith("fp8") else model


@torch.no_grad()
def upscaled(model: Oasis, clip: builtin.BuiltinClip) -> Upscaled:
    """Upscale a clip whole."""
    lq = video.to_network(as_tensor(clip.lq)).transpose(0, 1)[None]
    predicted: list[Tensor] = []
    watching = model.dit.register_forward_hook(lambda _, inputs, output: predicted.append(output.float()))
    frames = video.from_network(model(lq.to(model.prompt))[0].transpose(0, 1)).cpu()
    watching.remove()
    return Upscaled(frames, predicted[0])


def rows(name: str, frames: int, where: str) -> list[Row]:
    """Return the rows of every kind of numbers: the clips', then their mean."""
    models = {kind: made(name, kind, where) for kind in KINDS}
    found: dict[str, list[Row]] = {kind: [] for kind in KINDS}
    for each in builtin.names("test"):
        clip = builtin.make(each, frames=frames)
        truth = as_tensor(clip.hr)
        exact = upscaled(models[KINDS[0]], clip)
        for kind, model in models.items():
            frames_of, predicted = upscaled(model, clip)
            quality = psnr_y(frames_of, truth)
            row = Row(
                model=name,
                numbers=kind,
                clip=each,
                truth=quality,
                difference=quality - psnr_y(exact.frames, truth),
                output=psnr_y(frames_of, exact.frames),
                error=float((predicted - exact.predicted).std() / exact.predicted.std()),
            )
            found[kind].append(row)
    return [row for kind in KINDS for row in (*found[kind], mean(found[kind]))]


def mean(of: list[Row]) -> Row:
    values = {name: fmean(getattr(row, name) for row in of) for name in ("truth", "difference", "output", "error")}
    return Row(model=of[0].model, numbers=of[0].numbers, clip="mean", **values)


def table(found: list[Row]) -> str:
    lines = [f"{'model':12} {'numbers':18} {'clip':20} {'PSNR-Y':>8} {'to float32':>11} {'of its output':>14} {'error':>8}"]
    for row in found:
        numbers = f"{row.truth:8.3f} {row.difference:+11.4f} {row.output:14.2f} {row.error:8.4f}"
        lines.append(f"{row.model:12} {row.numbers:18} {row.clip:20} {numbers}")
    return "\n".join(lines)


def main() -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", help="tiny, tiny-routed, a folder (tiny and tiny-routed)")
    parser.add_argument("--frames", type=int, default=17, help="of every clip (%(default)s)")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="where to compute (cuda if there is one)")
    parser.add_argument("--csv", metavar="FILE", type=Path, help="write the rows to this file, too")
    args = parser.parse_args()
    frames, where = at_least_one("--frames", args.frames), device(args.device)
    found = [row for name in args.model or ["tiny", "tiny-routed"] for row in rows(name, frames, where)]
    print(table(found))
    print("of its output: float32's taken for the truth; error: of the transformer's prediction. This says nothing of speed")
    if args.csv is not None:
        about = {"oasis": __version__, "torch": torch.__version__, "device": where, "frames": frames, "cores": os.cpu_count()}
        tables.write(args.csv, Row, found, about)
        print(args.csv)


if __name__ == "__main__":
    sys.exit(status_of(main))
