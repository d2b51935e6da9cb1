"""Compare FLOP counters: fvcore and torch on routed attention and on whole networks, beside what is useful and executed."""

import argparse
import csv
import math
import warnings
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch
from fvcore.nn import FlopCountAnalysis
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from oasis import cost
from oasis.attention import attend
from oasis.configs import TINY, WAN_1_3B, OasisConfig
from oasis.files import replacing
from oasis.grid import Grid
from oasis.model.oasis import Oasis
from oasis.routing import FRAME, GLOBAL, Pattern, window

GRID, D = Grid(5, 12, 20), 64
SLIDING = Pattern(kind="sliding", radius=(2, 2))
ROUTINGS: dict[str, list[Pattern]] = {
    "dense": [GLOBAL] * 4,
    "frame": [FRAME] * 4,
    "window-8x8": [window(8, 8)] * 4,
    "sliding-r2x2": [SLIDING] * 4,
    "one of each": [GLOBAL, FRAME, window(8, 8), SLIDING],
}
SDPA = "aten::scaled_dot_product_attention"


class Row(NamedTuple):
    """What a counter says, in FLOPs (2 per multiply-add), beside the count from shapes."""

    what: str
    backend: str
    counter: str
    flops: float | None
    useful: int
    executed: int
    note: str = ""


class Attention(nn.Module):
    """Routed attention as a module, which fvcore wants."""

    def __init__(self, patterns: Sequence[Pattern], backend: str) -> None:
        super().__init__()
        self.patterns, self.backend = patterns, backend

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend on GRID."""
        return attend(q, k, v, self.patterns, GRID, backend=self.backend)


def sdpa_multiply_adds(inputs: list[Any], outputs: list[Any]) -> int:
    """The handle that fvcore lacks: q k^T and p v of one dense call; a mask is not looked at."""
    (*batch, n, d), (*_, m, _) = (each.type().sizes() for each in inputs[:2])
    return 2 * math.prod(batch) * n * m * d


def by_torch(model: nn.Module, inputs: Sequence[Tensor]) -> float:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(*inputs)
    return counter.get_total_flops()


def by_fvcore(model: nn.Module, inputs: Sequence[Tensor], handle: bool) -> float:
    analysis = FlopCountAnalysis(model, tuple(inputs)).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    if handle:
        analysis.set_op_handle(SDPA, sdpa_multiply_adds)
    return 2 * float(analysis.total())


COUNTERS: dict[str, Callable[[nn.Module, Sequence[Tensor]], float]] = {
    "fvcore x 2": lambda model, inputs: by_fvcore(model, inputs, handle=False),
    "fvcore x 2, with a handle for attention": lambda model, inputs: by_fvcore(model, inputs, handle=True),
    "torch FlopCounterMode": by_torch,
}


def compare(what: str, backend: str, model: nn.Module, inputs: Sequence[Tensor], work: cost.Work) -> list[Row]:
    rows = []
    for name, counter in COUNTERS.items():
        try:
            rows.append(Row(what, backend, name, counter(model, inputs), work.useful, work.executed))
        except Exception as error:  # a counter that cannot run here is a result, too
            reason = str(error).splitlines()[0]
            rows.append(Row(what, backend, name, None, work.useful, work.executed, f"{type(error).__name__}: {reason}"))
    return rows


def attention(backend: cost.Backend, names: Sequence[str] = tuple(ROUTINGS)) -> list[Row]:
    """Self-attention alone, by routings of these names."""
    q, k, v = (torch.randn(1, 4, GRID.tokens, D) for _ in range(3))
    rows = []
    for name in names:
        patterns = ROUTINGS[name]
        useful = cost.layer_flops(patterns, GRID, D)
        executed = sum(4 * D * cost.executed_pairs(pattern, GRID, backend) for pattern in patterns)
        work = cost.Work(useful=useful, executed=executed)
        rows += compare(f"attention, {name}", backend, Attention(patterns, backend), (q, k, v), work)
    return rows


def network(config: OasisConfig, size: tuple[int, int, int], device: str) -> list[Row]:
    """A whole dense network without weights or with random ones."""
    with torch.device(device):
        model = Oasis(config).eval().requires_grad_(False)
        lq = torch.zeros(1, 3, *size)
    model.fold_constants()
    work = cost.levels(cost.operations(config, size))[cost.Level("total")]
    case = "x".join(map(str, size))
    return compare(f"{config.name}, dense, LQ {case}", "folded", model, (lq,), work)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--csv", type=Path, help="write the rows to this file, too")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # tracing warns of every Python number
    torch.manual_seed(0)
    rows = attention("masked") + attention("folded") + attention("flex", ["one of each"])
    rows += network(TINY, (9, 48, 80), "cpu") + network(WAN_1_3B, (5, 16, 16), "meta")
    header = (*Row._fields[:-1], "counted_by_useful", "counted_by_executed", "note", "torch", "fvcore")
    table = []
    for row in rows:
        shares = [f"{row.flops / of:.4f}" if row.flops is not None else "" for of in (row.useful, row.executed)]
        counted = "cannot run" if row.flops is None else f"{row.flops:.0f}"
        versions = (torch.__version__.split("+")[0], version("fvcore"))
        table.append((*row[:3], counted, row.useful, row.executed, *shares, row.note, *versions))
        print(f"{row.what:38} {row.backend:7} {row.counter:40} {counted:>15} {shares[0]:>8} {shares[1]:>8} {row.note[:40]}")
    if options.csv:
        with replacing(options.csv) as path, open(path, "w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([header, *table])


if __name__ == "__main__":
    main()
