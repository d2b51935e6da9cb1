"""What several subcommands share: their parsers, and checks of what a user typed."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeAlias

if TYPE_CHECKING:
    Commands: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]

BACKENDS = ("folded", "masked", "flex", "varlen")
"""Those of `oasis.attention`, which takes torch to import."""
NETWORK_BACKENDS = (*BACKENDS, "ordered")
"""Those of a network: with the one that orders its tokens."""


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are ValueErrors."""

    def error(self, message: str) -> NoReturn:
        """Raise what does not fit."""
        raise ValueError(f"{message}; see {self.prog} --help")


def status_of(run: Callable[[], int | None]) -> int:
    """Return the exit status of `run`: its own, or 2 after one sentence on stderr where the input does not fit."""
    try:
        return int(run() or 0)
    except OSError as error:
        return _fail(f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error))
    except ValueError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return _fail("stopped; no file is left half-written")


def _fail(message: str) -> int:
    print("error:", " ".join(message.split()), file=sys.stderr)
    return 2


def command(
    commands: "Commands",
    name: str,
    run: Callable[[argparse.Namespace], int | None],
    summary: str,
) -> argparse.ArgumentParser:
    """Add a subcommand; its function takes the parsed arguments."""
    parser = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
    parser.set_defaults(run=run)
    return parser


def add_compute(parser: argparse.ArgumentParser, backends: Sequence[str] = BACKENDS) -> None:
    """Add where and how the network computes."""
    parser.add_argument("--backend", choices=backends, default="folded", help="attention (%(default)s); varlen: CUDA, 16 bits")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="where to compute (cuda if there is one)")


def device(name: str | None) -> str:
    """Return the device asked for, by default CUDA where there is one; ValueError if it is not there."""
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device is cuda, but torch finds no CUDA device; allowed here: cpu")
    return name or ("cuda" if torch.cuda.is_available() else "cpu")


def check_kind(out: Path, *, folder: bool) -> None:
    """Refuse to write a folder over a file or a file over a folder."""
    if out.exists() and out.is_dir() != folder:
        wanted, there = ("folder", "file") if folder else ("file", "folder")
        raise ValueError(f"{out}: there is a {there} of this name, but a {wanted} is to be written")


def sizes(option: str, text: str, count: int) -> tuple[int, ...]:
    """Return `count` whole numbers written with "x" between them."""
    parts = text.split("x")
    if len(parts) != count or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise ValueError(
            f"{option} is {text!r}; allowed: {count} whole numbers with 'x' between them, such as {'x'.join(['16'] * count)}"
        )
    return tuple(int(part) for part in parts)


def at_least_one(option: str, number: int) -> int:
    """Return a number that must be at least 1."""
    if number < 1:
        raise ValueError(f"{option} is {number}; allowed: a whole number of at least 1")
    return number
