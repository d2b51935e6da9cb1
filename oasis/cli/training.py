"""shards, train: from clips to a trained model."""

import argparse
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from oasis.cli.options import at_least_one, command, device

if TYPE_CHECKING:
    from oasis.cli.options import Commands

# What presets and schedules are called, so that the parser needs no torch; a test compares them with oasis.train.
NAMES = ("tiny", "wan-1.3b", "wan-1.3b-fast", "wan-cut")
SCHEDULES = ("progressive", "constant", "consistent-only", "inconsistent-only", "reversed")


def add(commands: "Commands") -> None:
    """Add the subcommands about training."""
    shards = command(commands, "shards", _shards, "cut and degrade training crops beforehand, so that training only reads them")
    shards.add_argument("out", metavar="OUT", type=Path, help="folder of the crops, for `oasis train --shards`")
    _add_plan(shards)
    shards.add_argument("--videos", type=Path, help="folder of training videos beside the built-in clips")
    shards.add_argument(
        "--crops", type=int, default=4000, help="crops of the smallest size; of larger ones as many pixels (%(default)s)"
    )
    shards.add_argument("--encoder", metavar="FILE", type=Path, help="a Wan VAE's file: also keep the latents of clean crops")
    shards.add_argument("--workers", type=int, default=1, help="processes that degrade (%(default)s)")

    train = command(commands, "train", _train, "train a network, dense or routed, resuming what OUT holds")
    train.add_argument("out", metavar="OUT", type=Path, help="folder for state, logs and the finished model (OUT/model)")
    _add_plan(train)
    crops = train.add_argument_group("what it sees")
    crops.add_argument("--videos", type=Path, help="folder of training videos beside the built-in clips")
    crops.add_argument("--shards", type=Path, help="crops that `oasis shards` made, in place of clips")
    crops.add_argument("--schedule", choices=SCHEDULES, help="how often degradations vary over a clip (the preset's)")
    crops.add_argument("--check", type=Path, help="folder of videos to score on, never trained on, beside the built-in ones")
    start = train.add_argument_group("where it starts")
    start.add_argument("--start", metavar="MODEL", help="tiny, or the folder of a model, to go on from")
    start.add_argument("--routing", type=Path, help="routing.json of that model: go on routed")
    start.add_argument("--backbone", metavar="FILE", type=Path, help="Wan2.1's transformer, for wan presets")
    start.add_argument(
        "--embedding",
        choices=("least-squares", "random"),
        default="least-squares",
        help="start beside --backbone (%(default)s)",
    )
    start.add_argument("--vae", metavar="FILE", type=Path, help="Wan2.1's VAE, for wan presets")
    how = train.add_argument_group("how it computes")
    how.add_argument("--precision", choices=("float32", "bf16"), help="of matrix products (the preset's)")
    how.add_argument("--features", default="random", help="of the perceptual loss: random, or a SqueezeNet file (%(default)s)")
    how.add_argument("--device", choices=("cpu", "cuda"), help="where to compute (cuda if there is one)")
    how.add_argument("--parallel", choices=("ddp", "fsdp"), default="ddp", help="between torchrun's processes (%(default)s)")


def _add_plan(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--preset", choices=NAMES, default="tiny", help="network, degradations and stages (%(default)s)")
    parser.add_argument("--stages", metavar="FILE", type=Path, help="other stages, in the form of OUT/stages.json")
    parser.add_argument("--seed", type=int, default=2026, help="of everything that is drawn (%(default)s)")


def _shards(args: argparse.Namespace) -> None:
    from oasis.train import shards, stages
    from oasis.train.clips import hashes, training_clips
    from oasis.train.encoder import frames_encoder, read_encoder
    from oasis.train.presets import PRESETS

    preset = PRESETS[args.preset]
    plan = stages.read(args.stages) if args.stages else (*preset.stages, *preset.routed)
    shards.write(
        args.out,
        training_clips(args.videos, preset.family, moving=stages.moving(plan)),
        [size for stage in plan for size in stage.sizes],
        at_least_one("--crops", args.crops),
        args.seed,
        workers=at_least_one("--workers", args.workers),
        encoder=frames_encoder(read_encoder(args.encoder)) if args.encoder else None,
        videos=hashes(args.videos) if args.videos else {},
    )
    print(args.out)


def _train(args: argparse.Namespace) -> None:
    import torch

    from oasis import publish
    from oasis.train.presets import PRESETS
    from oasis.train.run import Settings, run

    settings = Settings(
        preset=args.preset,
        videos=args.videos,
        shards=args.shards,
        start=args.start,
        routing=args.routing,
        backbone=args.backbone,
        vae=args.vae,
        embedding=args.embedding,
        schedule=args.schedule,
        stages=args.stages,
        features=args.features,
        seed=args.seed,
        bf16=None if args.precision is None else args.precision == "bf16",
        device=device(args.device),
        parallel=args.parallel,
    )
    model = run(settings, args.out)
    if os.environ.get("RANK", "0") != "0":
        return
    where = torch.device(settings.device)
    rule = PRESETS[args.preset].rule
    folder = publish.publish(model, args.out, args.check, rule=rule, routing=args.routing, device=where.type)
    print(folder)
    if args.preset == "tiny" and args.start is None and args.stages is None:
        routing, routed = folder / "routing.json", args.out / "routed"
        model = run(replace(settings, start=str(folder), routing=routing, schedule="constant"), routed)
        print(publish.publish(model, routed, args.check, rule=rule, routing=routing, device=where.type))
