"""The `oasis` command: measure heads, upscale, train, and score outputs of any method."""

import argparse
from collections.abc import Sequence

from oasis import __version__
from oasis.cli import (
    ablating,
    benching,
    causing,
    comparing,
    converting,
    costing,
    datasets,
    degrading,
    heads,
    networks,
    reporting,
    scoring,
    studying,
    training,
    upscaling,
)
from oasis.cli.options import Parser, command, status_of


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; 0 if all went well, 2 and one sentence on stderr if the input does not fit.

    A subcommand that finished but has bad news (clips without a score, a data set that is not whole) returns 1.
    """

    def run() -> int | None:
        args = _parser().parse_args(arguments)
        return args.run(args)

    return status_of(run)


def _parser() -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = Parser(prog="oasis", description=__doc__)
    parser.add_argument("--version", action="version", version=f"oasis-vsr {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    heads.add(commands)
    upscaling.add(commands)
    networks.add(commands)
    converting.add(commands)
    training.add(commands)
    degrading.add(commands)
    costing.add(commands)
    datasets.add(commands)
    scoring.add(commands)
    benching.add(commands)
    ablating.add(commands)
    studying.add(commands)
    comparing.add(commands)
    causing.add(commands)
    reporting.add(commands)
    command(commands, "doctor", _doctor, "print versions, devices, attention backends that work here, and what is missing")
    return parser


def _doctor(args: argparse.Namespace) -> None:
    from oasis import doctor

    for line in doctor.report():
        print(line)
