"""stability: whether head statistics are the same elsewhere."""

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from oasis.cli.options import check_kind, command

if TYPE_CHECKING:
    from oasis.cli.options import Commands


def add(commands: "Commands") -> None:
    """Add the subcommand."""
    summary = (
        "say how stable head statistics and the routing that follows are: intervals over clips, how many clips are enough, and "
        "between several heads.csv, what other clips, data, sizes or weights change"
    )
    stability = command(commands, "stability", _stability, summary)
    stability.add_argument(
        "tables",
        metavar="[NAME=]HEADS_CSV",
        nargs="+",
        help="tables of `oasis profile`; without a name the folder's; names of the form AXIS/NAME are grouped",
    )
    stability.add_argument("--out", metavar="FOLDER", type=Path, required=True, help="folder of tables, figures and a page")
    stability.add_argument("--reference", metavar="NAME", help="the table that the others are held against (the first)")
    stability.add_argument(
        "--rule", default="budget:ratio=0.5", help="how to route, as for `oasis route`; ratios suit every grid (%(default)s)"
    )
    stability.add_argument(
        "--statistic", default="kl_mean", help="what to compare: kl_mean, kl_p50, kl_p95, kl_rel, out_err (%(default)s)"
    )
    stability.add_argument("--resamples", metavar="N", type=int, default=1000, help="of clips, for intervals (%(default)s)")
    stability.add_argument("--seed", metavar="N", type=int, default=0, help="of the resamples (%(default)s)")


def _stability(args: argparse.Namespace) -> None:
    from oasis import stability

    check_kind(args.out, folder=True)
    options = ("out", "reference", "rule", "statistic", "resamples", "seed")
    spoken = [f"--{name}={getattr(args, name)}" for name in options if getattr(args, name) is not None]
    stability.write(
        _named(args.tables),
        args.out,
        rule=args.rule,
        statistic=args.statistic,
        resamples=args.resamples,
        seed=args.seed,
        reference=args.reference,
        command=shlex.join(["oasis", "stability", *args.tables, *spoken]),
    )
    print(args.out / "index.html")


def _named(texts: list[str]) -> dict[str, Path]:
    """Return the tables by name; ValueError where a name is empty or there twice."""
    found: dict[str, Path] = {}
    for text in texts:
        given, equals, rest = text.partition("=")
        path = Path(rest if equals else text)
        name = given if equals else path.resolve().parent.name
        if not name or name in found:
            problem = "is there twice" if name else "is empty"
            raise ValueError(f"the name of table {text!r} {problem}; write NAME=HEADS_CSV with another name for each")
        found[name] = path
    return found
