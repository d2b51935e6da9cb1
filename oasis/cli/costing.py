"""flops: what the network costs, counted from shapes."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from oasis.cli.options import BACKENDS, check_kind, command, sizes

if TYPE_CHECKING:
    from oasis.cli.options import Commands
    from oasis.configs import OasisConfig
    from oasis.cost import Operation, Tile
    from oasis.routing import RoutingTable

UNMEASURED = ("uniform", "random")


def add(commands: "Commands") -> None:
    """Add the subcommand about costs."""
    flops = command(commands, "flops", _flops, "count FLOPs, parameters and bytes by part, from shapes alone")
    flops.add_argument(
        "--model", choices=("tiny", "wan-1.3b", "wan-1.3b-fast"), default="tiny", help="what to count (%(default)s)"
    )
    flops.add_argument("--size", metavar="TxHxW", default="33x180x320", help="frames and pixels of the LQ clip (%(default)s)")
    flops.add_argument(
        "--tile",
        metavar="TxHxW",
        help="count a whole clip as `oasis upscale --tile` cuts it (without: one call of the network)",
    )
    routing = flops.add_mutually_exclusive_group()
    routing.add_argument("--routing", metavar="FILE", type=Path, help="routing.json; dense without it")
    routing.add_argument(
        "--rule", help="a routing that needs no measured heads: uniform:pattern=NAME, random:seed=N,NAME=SHARE,..."
    )
    flops.add_argument("--backend", choices=BACKENDS, default="folded", help="attention (%(default)s)")
    flops.add_argument(
        "--kernel-tile", metavar="QxK", help="of fused attention kernels, such as 64x64: count the padding to it as executed"
    )
    flops.add_argument("--dtype", choices=("fp32", "bf16", "fp16"), default="bf16", help="of weights and data (%(default)s)")
    flops.add_argument("--per-layer", action="store_true", help="show every layer, head group and convolution")
    flops.add_argument("--csv", metavar="FILE", type=Path, help="write every level as rows to this file, too")


def _flops(args: argparse.Namespace) -> None:
    from oasis import __version__, cost, costs
    from oasis.configs import PRESETS

    config = PRESETS[args.model]
    size = _three(sizes("--size", args.size, 3))
    kernel = cost.Tile(*sizes("--kernel-tile", args.kernel_tile, 2)) if args.kernel_tile else cost.EXACT
    table = _routing(args, config)
    if args.csv:
        check_kind(args.csv, folder=False)
    operations = _count(args, config, size, table, kernel)
    itemsize = cost.ITEMSIZE[args.dtype]
    routed = f"routed by {args.routing or args.rule}" if table else "dense"
    cut = f"in tiles of {args.tile}" if args.tile else "one call of the network"
    print(f"{config.name}, {routed}; LQ {args.size} (frames x rows x columns), {cut}; attention {args.backend}; {args.dtype}\n")
    print(cost.table(operations, itemsize=itemsize, per_layer=args.per_layer))
    print(f"\n{_explain(args, config)}")
    if args.csv:
        name = args.routing.stem if args.routing else args.rule
        rows = cost.costs(operations, subject=f"{args.model}/{name}" if name else args.model, case=args.size, itemsize=itemsize)
        said = {"backend": args.backend, "dtype": args.dtype, "kernel_tile": args.kernel_tile, "tile": args.tile}
        costs.write(args.csv, rows, {"oasis": __version__, "routing": name, **said})
        print(args.csv)


def _count(
    args: argparse.Namespace,
    config: "OasisConfig",
    size: tuple[int, int, int],
    table: "RoutingTable | None",
    kernel: "Tile",
) -> "list[Operation]":
    from oasis import cost
    from oasis.tiling import Tiling

    if args.tile is None:
        return cost.operations(config, size, table, backend=args.backend, tile=kernel)
    tiling = Tiling.of(*_three(sizes("--tile", args.tile, 3)))
    return cost.clip_operations(config, size, tiling, table, backend=args.backend, tile=kernel)


def _routing(args: argparse.Namespace, config: "OasisConfig") -> "RoutingTable | None":
    from oasis.routing import RoutingTable

    if args.rule:
        return _unmeasured(args.rule, config)
    if args.routing is None:
        return None
    table = RoutingTable.load(args.routing)
    if table.model not in (config.name, f"random-{args.model}"):
        raise ValueError(f"{args.routing}: the routing table is for model {table.model!r}, --model is {config.name!r}")
    return table


def _unmeasured(text: str, config: "OasisConfig") -> "RoutingTable":
    """Return the table of a rule that asks for no loss of any head."""
    import string

    import numpy as np

    from oasis.cost import attended_pairs
    from oasis.decide import parse_rule
    from oasis.grid import Grid
    from oasis.routing import GLOBAL, RoutingTable, parse_pattern
    from oasis.rules import Choices

    rule = parse_rule(text)
    if rule.name not in UNMEASURED:
        raise ValueError(f"--rule is {text!r}, which needs measured heads; allowed: {', '.join(UNMEASURED)}, or --routing FILE")
    names = [rule.parameters["pattern"]] if rule.name == "uniform" else [name for name in rule.parameters if name != "seed"]
    patterns = tuple(dict.fromkeys([GLOBAL, *map(parse_pattern, names)]))
    pairs = np.array([attended_pairs(pattern, Grid(1, 1, 1)) for pattern in patterns])
    shape = (config.dit.layers, config.dit.heads, len(patterns))
    chosen = rule.choose(Choices(patterns=patterns, pairs=pairs, loss=np.zeros(shape)))
    letters = string.ascii_letters
    return RoutingTable(
        model=config.name,
        weights_sha256="",
        patterns=dict(zip(letters, patterns, strict=False)),
        layers=tuple("".join(letters[number] for number in row) for row in chosen),
    )


def _explain(args: argparse.Namespace, config: "OasisConfig") -> str:
    padding = f", padding to {args.kernel_tile} included (an estimate)" if args.kernel_tile else ""
    prompt = config.prompt_tokens
    padded = config.dit.text_len - prompt
    one = f" and one that stands for {padded} equal padded ones" if padded else ""
    lines = [
        "Counted: matrix products and convolutions, 2 FLOPs per multiply-add.",
        "Not counted: norms, activations, softmax, rotary positions, modulation, biases, interpolation.",
        f"dense: every head global. useful: pairs inside the patterns. executed: what {args.backend!r} multiplies{padding}.",
        f"MiB and bytes in {args.dtype}: weights once per call, inputs and outputs once per operation: the least that moves.",
        "setup: once, at load; only its parameters are in the total.",
        f"Keys of the cross-attention: {prompt} of the prompt{one}.",
    ]
    return "\n".join(lines)


def _three(numbers: tuple[int, ...]) -> tuple[int, int, int]:
    a, b, c = numbers
    return a, b, c
