"""score, verify, metrics: outputs of any method against ground truth, and what the numbers mean."""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from oasis.cli.options import at_least_one, check_kind, command, device

if TYPE_CHECKING:
    from oasis.cli.options import Commands

POLICIES = (
    "crop:left=N,top=N,width=N,height=N (the part of the reference that outputs show), shift:x=N,y=N, frames:start=N,count=N, "
    "resize:width=N,height=N (outputs are resampled), as-is (accept the shift or colour found), unregistered (only measures "
    "without a reference); joined by ';' or given again"
)


def add(commands: "Commands") -> None:
    """Add the subcommands about scores."""
    score = command(commands, "score", _score, "score outputs of any method: folders of PNG, mp4, mkv")
    score.add_argument("--outputs", metavar="DIR", type=Path, required=True, help="a file or a folder of PNG for each clip")
    score.add_argument("--dataset", metavar="NAME", help="a name of `oasis datasets list`, or the path of a card (any folder)")
    score.add_argument("--gt", metavar="DIR", type=Path, help="ground truth; a data set's layouts are found")
    score.add_argument("--lq", metavar="DIR", type=Path, help="the low-quality input: its hash goes into the result")
    score.add_argument(
        "--metrics", metavar="LIST", help="profiles and measures, comma-separated (basic; blind without ground truth)"
    )
    score.add_argument("--method", metavar="NAME", help="name of the method (name of the folder of outputs)")
    score.add_argument("--align", metavar="POLICY", action="append", default=[], help=POLICIES)
    score.add_argument("--shift", metavar="X,Y", help="short for --align shift:x=X,y=Y")
    score.add_argument("--frames", metavar="START:STOP", help="short for --align frames:start=START,count=STOP-START")
    score.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="clips at a time (%(default)s)")
    score.add_argument("--threads", type=int, default=1, help="threads of each worker; other numbers may round differently")
    score.add_argument("--engine", choices=("local", "ray"), default="local", help="worker processes, or a Ray cluster")
    score.add_argument("--device", choices=("cpu", "cuda"), help="where networks run (cuda if there is one)")
    score.add_argument("--out", metavar="DIR", type=Path, help="folder to write, and to resume (runs/score-METHOD-DATASET)")
    score.add_argument("--limit", metavar="N", type=int, help="score only the first clips of the data set")
    score.add_argument("--per-frame", action="store_true", help="write frames.csv too")
    score.add_argument("--dry-run", action="store_true", help="say what would be scored and what cannot be; write nothing")

    verify = command(commands, "verify", _verify, "say whether two score files are comparable, and if not, why")
    verify.add_argument("first", metavar="A.csv", type=Path)
    verify.add_argument("second", metavar="B.csv", type=Path)

    metrics = command(commands, "metrics", _metrics, "list measures by protocol name, profiles, and whether weights are here")
    metrics.add_argument("action", choices=("list",), nargs="?", default="list")
    metrics.add_argument("name", nargs="?", help="one measure or profile, with all that is known of it")


def _score(args: argparse.Namespace) -> int:
    from oasis.score import run
    from oasis.score.request import Request, plan

    policy = ";".join([*args.align, *_short(args)])
    request = Request(
        outputs=args.outputs,
        dataset=args.dataset,
        gt=args.gt,
        lq=args.lq,
        metrics=args.metrics,
        method=args.method,
        align=policy,
        limit=None if args.limit is None else at_least_one("--limit", args.limit),
        device=device(args.device),
        threads=at_least_one("--threads", args.threads),
    )
    planned = plan(request)
    for line in planned.notes:
        print("note:", line, file=sys.stderr)
    out = args.out or Path("runs") / f"score-{planned.method}-{planned.card.name}"
    if args.dry_run:
        print("\n".join(run.preview(planned, out)))
        return 0
    check_kind(out, folder=True)
    done = run.run(planned, out, workers=at_least_one("--workers", args.workers), engine=args.engine, per_frame=args.per_frame)
    print("\n".join(done.lines))
    for path in done.paths:
        print(path)
    return 0 if done.complete else 1


def _short(args: argparse.Namespace) -> list[str]:
    words = []
    if args.shift:
        x, y = _numbers("--shift", args.shift, ",")
        words.append(f"shift:x={x},y={y}")
    if args.frames:
        start, stop = _numbers("--frames", args.frames, ":")
        words.append(f"frames:start={start},count={stop - start}")
    return words


def _numbers(option: str, text: str, separator: str) -> tuple[int, int]:
    try:
        first, second = text.split(separator)
        return int(first), int(second)
    except ValueError as error:
        raise ValueError(f"{option} is {text!r}; allowed: two whole numbers with {separator!r} between them") from error


def _verify(args: argparse.Namespace) -> int:
    from oasis.score import verify

    reasons = verify.verify(args.first, args.second)
    said = {
        "comparable": "comparable: same data, same protocol",
        "unknown": "cannot be told: nothing differs that is known, but not everything is known",
        "different": "not comparable",
    }
    verdict = verify.verdict(reasons)
    print(said[verdict])
    for reason in reasons:
        print(f"{reason.kind}: {reason.text}")
    return 0 if verdict == "comparable" else 1


def _metrics(args: argparse.Namespace) -> None:
    from oasis.score import listing

    for line in listing.one(args.name) if args.name else listing.everything():
        print(line)
