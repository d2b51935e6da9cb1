"""What the profilers in benchmarks/ share: how often, where and in what numbers is timed, and how it is shown."""

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from oasis.cli.options import Parser, at_least_one, device, status_of

if TYPE_CHECKING:
    from oasis.timing.compared import Compared
    from oasis.timing.found import Found, Setting


def door(
    about: str,
    add: Callable[[argparse.ArgumentParser], None],
    run: Callable[[argparse.Namespace, "Setting"], None],
    arguments: Sequence[str] | None = None,
) -> int:
    """Parse a profiler's own options and the shared ones, run it, and return its exit status."""
    parser = Parser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    add(parser)
    group = parser.add_argument_group("how it is timed")
    group.add_argument("--rounds", metavar="N", type=int, help="calls of each candidate; without it: as many as --spread needs")
    group.add_argument("--spread", metavar="X", type=float, default=0.02, help="know each median to this share (%(default)s)")
    group.add_argument("--seconds", metavar="S", type=float, default=30, help="stop after S seconds of a case (%(default)s)")
    group.add_argument("--cold", action="store_true", help="flush the caches before every call")
    group.add_argument("--device", choices=("cpu", "cuda"), help="where to compute (cuda if there is one)")
    group.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), help="(cpu: float32, cuda: bfloat16)")
    group.add_argument("--threads", metavar="N", type=int, help="of torch; 1 is the steadiest on a shared machine")
    group.add_argument("--no-memory", action="store_true", help="leave out peak memory, which takes a fresh process each")
    group.add_argument("--csv", metavar="FILE", type=Path, help="write the rows to this file, too")

    def start() -> None:
        args = parser.parse_args(arguments)
        if args.threads is not None:
            _use_threads(at_least_one("--threads", args.threads))
        run(args, _setting(args))

    return status_of(start)


def _use_threads(count: int) -> None:
    import torch

    torch.set_num_threads(count)


def _setting(args: argparse.Namespace) -> "Setting":
    from oasis.timing import Until
    from oasis.timing.found import Setting

    where = device(args.device)
    return Setting(
        device=where,
        dtype=args.dtype or ("bfloat16" if where == "cuda" else "float32"),
        cold=args.cold,
        rounds=Until(spread=args.spread, seconds=args.seconds)
        if args.rounds is None
        else at_least_one("--rounds", args.rounds),
    )


def show(found: "Found | Compared", findings: Sequence[str], csv: Path | None) -> None:
    """Print the table, what follows from it, and how far to trust it; write the rows if a file is named."""
    from oasis.timing import machine

    found.about["findings"] = list(findings)
    print(found.table(), *findings, sep="\n")
    where = found.setting
    for stopped, spread in found.endings.items():
        known = f"known to {spread:.1%} or better (95 % intervals)" if spread < float("inf") else "of a single call: not known"
        print(f"rounds ended by {stopped}: medians of totals {known}")
    print(
        f"the harness itself takes {found.harness_overhead:.4%} of the shortest time; caches {'cold' if where.cold else 'warm'}"
    )
    before, after = found.before, found.after
    assert before and after  # a profiler notes both
    slowed = {True: "slowed itself down", False: "did not slow itself down", None: "does not say whether it slowed itself down"}
    clocks = f"clocks {before.clocks_mhz} MHz before, {after.clocks_mhz} after"
    print(f"{machine.processor(where.device)}: {clocks}; it {slowed[machine.throttled(before, after)]}")
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load > cores + 1:
        print(f"THE MACHINE IS BUSY (load {load:.1f} on {cores} cores): trust ratios at most, and those of --threads 1")
    if csv is not None:
        found.write(csv)
        print(csv)
