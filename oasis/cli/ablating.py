"""ablate: arms that differ in one thing, trained on and scored."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from oasis.cli.options import at_least_one, check_kind, command, device

if TYPE_CHECKING:
    from oasis.cli.options import Commands


def add(commands: "Commands") -> None:
    """Add the subcommand."""
    summary = (
        "train arms that differ in one thing, with several seeds, and score them on the held-out built-in clips: routings of "
        "equal cost before and after training, or schedules of degradation"
    )
    ablate = command(commands, "ablate", _ablate, summary)
    ablate.add_argument("study", choices=("routing", "schedule"), help="what differs")
    ablate.add_argument("work", metavar="WORK", type=Path, help="folder of models, outputs and scores; a stopped run goes on")
    ablate.add_argument("--shards", type=Path, required=True, help="crops to train on, by `oasis shards`")
    ablate.add_argument("--model", default="tiny", help="what is routed and trained on: tiny, or a folder (%(default)s)")
    ablate.add_argument(
        "--preset", default="tiny", choices=("tiny", "wan-1.3b", "wan-1.3b-fast", "wan-cut"), help="of that model (%(default)s)"
    )
    ablate.add_argument("--stages", metavar="FILE", type=Path, help="of every arm, in the form of stages.json (the preset's)")
    ablate.add_argument("--seeds", type=int, default=3, help="trainings of every arm (%(default)s)")
    ablate.add_argument("--clips", metavar="N", type=int, help="use only the first test clips, and as many training clips")
    ablate.add_argument("--frames", metavar="N", type=int, default=17, help="of each clip (%(default)s)")
    ablate.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="variants scored at a time (%(default)s)")
    ablate.add_argument("--device", choices=("cpu", "cuda"), help="where networks run (cuda if there is one)")
    ablate.add_argument("--precision", choices=("float32", "bf16"), help="of matrix products in training (the preset's)")
    ablate.add_argument("--out", metavar="CSV", type=Path, help="file of rows; figures are drawn beside it (WORK/STUDY.csv)")


def _ablate(args: argparse.Namespace) -> None:
    from oasis.ablation import figures, study
    from oasis.ablation.request import Request

    out = args.out or args.work / f"{args.study}.csv"
    check_kind(args.work, folder=True)
    check_kind(out, folder=False)
    request = Request(
        study=args.study,
        shards=args.shards,
        model=args.model,
        preset=args.preset,
        stages=args.stages,
        seeds=args.seeds,
        clips=args.clips,
        frames=args.frames,
        device=device(args.device),
        bf16=None if args.precision is None else args.precision == "bf16",
    )
    study.run(request, args.work, out, workers=at_least_one("--workers", args.workers))
    print(out)
    for path in figures.draw(out):
        print(path)
