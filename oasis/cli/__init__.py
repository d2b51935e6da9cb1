"""The `oasis` command: measure heads, upscale, train, and score outputs of any method."""

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from oasis import __version__
from oasis.cli import costing, datasets, heads, networks, scoring
from oasis.cli.options import command


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; 0 if all went well, 2 and one sentence on stderr if the input does not fit.

    A subcommand that finished but has bad news (clips without a score, a data set that is not whole) returns 1.
    """
    try:
        args = _parser().parse_args(arguments)
        return int(args.run(args) or 0)
    except OSError as error:
        return _fail(f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error))
    except ValueError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return _fail("stopped; no file is left half-written")


def _fail(message: str) -> int:
    print("error:", " ".join(message.split()), file=sys.stderr)
    return 2


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message}; see {self.prog} --help")


def _parser() -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = _Parser(prog="oasis", description=__doc__)
    parser.add_argument("--version", action="version", version=f"oasis-vsr {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    heads.add(commands)
    networks.add(commands)
    costing.add(commands)
    datasets.add(commands)
    scoring.add(commands)
    command(commands, "doctor", _doctor, "print versions, devices, attention backends that work here, and what is missing")
    return parser


def _doctor(args: argparse.Namespace) -> None:
    from oasis import doctor

    for line in doctor.report():
        print(line)
