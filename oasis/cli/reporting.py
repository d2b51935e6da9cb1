"""report: the leaderboard and its page from committed rows; checks of contributions, comparisons of two methods."""

import argparse
import filecmp
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from oasis.cli.options import check_kind, command

if TYPE_CHECKING:
    from oasis.cli.options import Commands
    from oasis.report.board.rows import Rows


def add(commands: "Commands") -> None:
    """Add the subcommand about reports."""
    report = command(
        commands, "report", _report, "write the leaderboard and its page from the rows in reports/, or check and compare rows"
    )
    report.add_argument("--results", metavar="DIR", type=Path, default=Path("reports/results"), help="rows (%(default)s)")
    report.add_argument("--methods", metavar="DIR", type=Path, default=Path("reports/methods"), help="cards (%(default)s)")
    report.add_argument(
        "--frames",
        metavar="DIR",
        type=Path,
        default=Path("reports/frames"),
        help="pictures DATASET/CLIP/METHOD.png (%(default)s)",
    )
    report.add_argument("--out", metavar="DIR", type=Path, default=Path("reports"), help="folder to write (%(default)s)")
    instead = report.add_mutually_exclusive_group()
    instead.add_argument(
        "--check",
        metavar="FILE",
        type=Path,
        nargs="*",
        help="write nothing; say in a sentence what is wrong with CARD.yaml SCORES.csv ..., or with all rows",
    )
    instead.add_argument(
        "--compare", metavar=("A", "B"), nargs=2, help="write nothing; print the paired comparison of two methods"
    )
    instead.add_argument(
        "--stale",
        action="store_true",
        help="write nothing; name the files in --out that the rows do not give (exit status 1)",
    )


def _report(args: argparse.Namespace) -> int:
    from oasis.report.board import check, compare, rows
    from oasis.report.leaderboard import write_leaderboard

    if args.check is not None:
        card, *scores = args.check or [None]
        places = (args.results, args.methods)
        found = check.contribution(card, scores, *places) if card else check.folder(*places)
        print("\n".join([*found, "nothing is refused"]))
        return 0
    loaded = rows.load(args.results, args.methods)
    if args.compare:
        print("\n".join(compare.lines(loaded, *args.compare)))
        return 0
    if args.stale:
        return _stale(loaded, args.out, args.frames)
    check_kind(args.out, folder=True)
    for problem in loaded.problems:
        print("note:", problem)
    written = write_leaderboard(loaded, args.out, args.frames)
    for path in written:
        if path.parent == args.out:
            print(path)
    print(f"{len(written)} files in all")
    return 0


def _stale(loaded: "Rows", out: Path, frames: Path) -> int:
    """Compare what the rows give with what is in `out`, files left over in generated folders included."""
    from oasis.report.leaderboard import write_leaderboard

    with tempfile.TemporaryDirectory() as folder:
        fresh = {path.relative_to(folder) for path in write_leaderboard(loaded, Path(folder), frames)}
        old = {path.relative_to(out) for name in _folders(fresh) for path in (out / name).rglob("*") if path.is_file()}
        changed = {path for path in fresh if not _same(Path(folder) / path, out / path)}
    for path in sorted(changed | (old - fresh)):
        what = "is not generated any more" if path not in fresh else "differs" if (out / path).exists() else "is missing"
        print(f"{out / path}: {what}; `oasis report` writes it anew")
    return 1 if changed | (old - fresh) else 0


def _folders(paths: set[Path]) -> set[str]:
    return {path.parts[0] for path in paths if len(path.parts) > 1}


def _same(one: Path, two: Path) -> bool:
    return two.is_file() and filecmp.cmp(one, two, shallow=False)
