"""describe: the network itself."""

import argparse
from typing import TYPE_CHECKING

from oasis.cli.options import command

if TYPE_CHECKING:
    from oasis.cli.options import Commands


def add(commands: "Commands") -> None:
    """Add the subcommands about the network."""
    describe = command(commands, "describe", _describe, "print a network's parameters by part, without building its weights")
    describe.add_argument("preset", choices=("tiny", "wan-1.3b", "wan-1.3b-fast"))


def _describe(args: argparse.Namespace) -> None:
    import torch

    from oasis.configs import PRESETS
    from oasis.model.oasis import Oasis, describe

    with torch.device("meta"):
        print(describe(Oasis(PRESETS[args.preset])))
