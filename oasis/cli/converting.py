"""convert: from published weights to a model folder."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from oasis.cli.options import command, device

if TYPE_CHECKING:
    from oasis.cli.options import Commands

DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


def add(commands: "Commands") -> None:
    """Add the subcommand about published weights."""
    convert = command(commands, "convert", _convert, "turn Wan2.1's weights (1.3B, text to video) into a model folder")
    convert.add_argument(
        "source",
        metavar="SOURCE",
        type=Path,
        help="Wan2.1's folder, official or diffusers', or its transformer's file or folder",
    )
    convert.add_argument("out", metavar="OUT", type=Path, help="folder to write, for --model and --start")
    convert.add_argument("--vae", metavar="PATH", type=Path, help="its VAE's file or folder, where SOURCE does not hold it")
    convert.add_argument(
        "--names", choices=("auto", "official", "diffusers"), default="auto", help="whose names tensors have (%(default)s)"
    )
    convert.add_argument(
        "--embedding",
        choices=("least-squares", "random"),
        default="least-squares",
        help="first layer, which reads pixels here: fitted to clips, or drawn (%(default)s)",
    )
    convert.add_argument("--videos", type=Path, help="folder of videos to fit it to, beside the built-in clips")
    convert.add_argument("--text-encoder", metavar="FOLDER", type=Path, help="UMT5 and its tokenizer, to embed the prompt")
    convert.add_argument("--prompt", help="the fixed prompt, with --text-encoder (the empty one)")
    convert.add_argument("--routing", metavar="FILE", type=Path, help="routing.json to keep beside the weights")
    convert.add_argument("--dtype", choices=tuple(DTYPES), default="fp32", help="of the stored weights (%(default)s)")
    convert.add_argument("--seed", type=int, default=2026, help="of the clips' degradation, or of the drawing (%(default)s)")
    convert.add_argument("--device", choices=("cpu", "cuda"), help="where encoders compute (cuda if there is one)")


def _convert(args: argparse.Namespace) -> None:
    import torch

    from oasis.convert import Request, convert

    request = Request(
        source=args.source,
        vae=args.vae,
        names=None if args.names == "auto" else args.names,
        text_encoder=args.text_encoder,
        prompt=args.prompt,
        embedding=args.embedding,
        videos=args.videos,
        routing=args.routing,
        dtype=getattr(torch, DTYPES[args.dtype]),
        seed=args.seed,
        device=device(args.device),
    )
    record = convert(request, args.out)
    for part in ("transformer", "vae"):
        print(f"{part}: {record[part]['names']} names, {', '.join(record[part]['files'])}")
    explained = record["embedding"]["r_squared_by_latent"]
    if explained is not None:
        print(f"patch embedding: R^2 {sum(explained) / len(explained):.3f} on average over {len(explained)} latent channels")
    print(f"{args.out}  {record['dtype']}, not trained for super-resolution")
