"""datasets list, show, check, prepare: cards of test sets, and the sets on disk."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from oasis.cli.options import command

if TYPE_CHECKING:
    from oasis.cli.options import Commands


def add(commands: "Commands") -> None:
    """Add the subcommands about data sets."""
    parser = commands.add_parser("datasets", help="test sets: list, show, check, prepare", description="Test sets.")
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    command(actions, "list", _list, "list the data sets that have a card")
    show = command(actions, "show", _show, "print a card: clips, layouts, source, licence, traps, what is not confirmed")
    show.add_argument("name", metavar="NAME", help="a data set, or the path of a card")
    check = command(actions, "check", _check, "say which clip or frame is missing, extra or of another size")
    check.add_argument("name", metavar="NAME", help="a data set, or the path of a card")
    check.add_argument("folder", metavar="DIR", type=Path)
    check.add_argument("--role", choices=("gt", "lq", "outputs"), help="what the folder holds (found by its layout)")
    prepare = command(actions, "prepare", _prepare, "make low-quality input from ground truth by a seeded recipe, and hash it")
    prepare.add_argument("name", metavar="NAME", help="a data set, or the path of a card")
    prepare.add_argument("out", metavar="OUT", type=Path, help="folder to write and to resume: lq/, recipes, prepared.json")
    prepare.add_argument("--gt", metavar="DIR", type=Path, help="ground truth (not for builtin)")
    prepare.add_argument(
        "--recipe",
        help="bi (the default), bd-mmagic, bd-pfnl, realbasicvsr, dove, consistent, inconsistent, inconsistent-iid, "
        "consistent-dove, consistent-frozen; not for builtin",
    )
    prepare.add_argument("--seed", type=int, default=0, help="of drawn recipes (%(default)s)")


def _list(args: argparse.Namespace) -> None:
    from oasis import cards

    rows = cards.table()
    columns = list(rows[0])
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in columns}
    for row in [dict(zip(columns, columns, strict=True)), *rows]:
        print("  ".join(row[name].ljust(widths[name]) for name in columns).rstrip())
    print("? is not confirmed in a primary source; `oasis datasets show NAME` prints a card")


def _show(args: argparse.Namespace) -> None:
    from oasis import cards

    print(cards.describe(cards.load(args.name)))


def _check(args: argparse.Namespace) -> int:
    from oasis import cards
    from oasis.data.check import check

    card = cards.load(args.name)
    findings = check(card, args.folder, args.role)
    for finding in findings:
        where = f" {finding.clip}" if finding.clip else ""
        print(f"{finding.role}{where}: {finding.kind}: {finding.message}")
    print(
        f"{card.name}: {len(findings)} finding{'s' * (len(findings) > 1)}"
        if findings
        else f"{card.name}: nothing is missing, extra or of another size"
    )
    return 1 if findings else 0


def _prepare(args: argparse.Namespace) -> None:
    from oasis import cards
    from oasis.data import layout
    from oasis.data.prepare import prepare, prepare_builtin

    card = cards.load(args.name)
    if card.task == "built-in":
        if args.gt or args.recipe:
            raise ValueError(f"--gt and --recipe have no meaning with the data set {card.name}, which brings its own")
        record = prepare_builtin(args.out, dataset=card.name, names=card.clips.names)
    else:
        if args.gt is None:
            raise ValueError(f"say where the ground truth of {card.name} lies with --gt DIR")
        found = layout.find(card, args.gt, "gt")
        if found.missing:
            raise ValueError(f"{args.gt}: clips are missing: {', '.join(found.missing)}; `oasis datasets check` says more")
        record = prepare(dict(found.clips), args.out, dataset=card.name, recipe=args.recipe or "bi", seed=args.seed)
    print(f"{args.out}: {len(record['clips'])} clips, hashes in {args.out / 'prepared.json'}")
