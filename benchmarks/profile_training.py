"""How fast crops come, on the fly and from shards, and how long a training step takes; ratios within one run.

`python benchmarks/profile_training.py --preset tiny` needs no data: it trains on the built-in clips. With `--csv FILE` rows are
appended, with processor, threads and torch's version.
"""

import argparse
import dataclasses
import itertools
import statistics
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import torch

from oasis import files
from oasis.cli.options import device, status_of
from oasis.timing.machine import processor
from oasis.train import shards
from oasis.train.clips import builtin_clips
from oasis.train.corpus import Clips, Corpus
from oasis.train.loop import Run, train
from oasis.train.parallel import Processes
from oasis.train.perceptual import features
from oasis.train.presets import PRESETS
from oasis.train.shards import Shards
from oasis.train.stages import Stage
from oasis.train.start import fresh

ROUNDS = 5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", choices=tuple(PRESETS), default="tiny")
    parser.add_argument("--crops", type=int, default=32, help="crops of a size in the shards (%(default)s)")
    parser.add_argument(
        "--steps", type=int, default=5, help="training steps that are timed, after two that are not (%(default)s)"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"))
    parser.add_argument("--csv", type=Path)
    args = parser.parse_args()
    return status_of(lambda: profile(args))


def profile(args: argparse.Namespace) -> None:
    preset, where = PRESETS[args.preset], device(args.device)
    size = preset.stages[-1].sizes[0]
    clips = Clips({name: clip.hr for name, clip in itertools.islice(builtin_clips(), 4)}, preset.family)
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        shards.write(Path(temporary) / "shards", clips, [size], args.crops, seed=0)
        stored = Shards(Path(temporary) / "shards")
        corpora = {"on the fly": Corpus(clips, [size], seed=0), "shards": Corpus(stored, [size], seed=0)}
        seconds: dict[str, list[float]] = {name: [] for name in corpora}
        for number in range(ROUNDS):  # in turn, so that other work on the machine meets both
            for name, corpus in corpora.items():
                started = time.perf_counter()
                corpus.batch(number)
                seconds[name].append(time.perf_counter() - started)
        medians = {name: statistics.median(values) for name, values in seconds.items()}
        for name, median in medians.items():
            rows.append({"what": f"batch {name}", "seconds": median, "ratio": medians["on the fly"] / median})
        for kind in (stage for stage in preset.stages if preset.config.vae.kind == "small" or not needs_latents(stage)):
            rows.append(step_row(args, kind, stored if size in kind.sizes else clips, where, Path(temporary) / kind.name))
    table = pd.DataFrame(rows).assign(
        preset=args.preset,
        crop=f"{size.batch}x{size.name}",
        device=processor(where),
        threads=torch.get_num_threads(),
        torch=torch.__version__,
    )
    print(table.to_string(index=False))
    if args.csv:
        old = pd.read_csv(args.csv) if args.csv.exists() else None
        with files.replacing(args.csv) as whole:
            pd.concat([old, table]).to_csv(whole, index=False, float_format="%.6g", lineterminator="\n")


def needs_latents(stage: Stage) -> bool:
    return "latent" in stage.losses or stage.trains == "decoder"


def step_row(args: argparse.Namespace, stage: Stage, source: Clips | Shards, where: str, folder: Path) -> dict[str, object]:
    """Time whole steps of a stage, crops of the first size, with everything that the loop does."""
    preset = PRESETS[args.preset]
    model = fresh(preset, source, stage.sizes[:1], seed=0)
    model.dit.checkpointing = preset.checkpointing
    seconds = []
    for number, steps in enumerate((1, 2, 2 + args.steps)):  # the first run pays for imports and caches
        timed = dataclasses.replace(stage, sizes=stage.sizes[:1], steps=steps, warmup=1)
        run = Run(
            source=source,
            schedule=preset.schedule,
            stages=(timed,),
            folder=folder / str(number),
            seed=0,
            bf16=preset.bf16,
            features=features("random") if "perceptual" in stage.losses else None,
            processes=Processes(device=where),
        )
        started = time.perf_counter()
        train(model, run)
        seconds.append(time.perf_counter() - started)
    peak = torch.cuda.max_memory_allocated() / 2**20 if where == "cuda" else None
    return {"what": f"step {stage.name}", "seconds": (seconds[2] - seconds[1]) / args.steps, "peak_mib": peak}


if __name__ == "__main__":
    sys.exit(main())
