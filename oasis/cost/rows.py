"""Operations summed at every level, as rows of `oasis.costs` and as a table to read."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, get_args

from oasis.cost.operation import Operation, Work, total
from oasis.costs import Cost, Kind

ITEMSIZE = {"fp32": 4, "bf16": 2, "fp16": 2}
"""Bytes of a number, by dtype."""


class Level(NamedTuple):
    """What a sum is over; empty or -1 where it is over all."""

    phase: str
    part: str = ""
    layer: int = -1
    detail: str = ""


def levels(operations: Sequence[Operation]) -> dict[Level, Work]:
    """Return the sums over the network, every phase, part, layer and detail, each above what it is the sum of.

    The total is of one call (or clip): the set-up, which runs once at load, adds its parameters and nothing else.
    """
    sums = {Level("total"): _of_call(operations)}
    for key in dict.fromkeys(key for operation in operations for key in _above(operation)):
        sums[key] = Work()
    for operation in operations:
        for key in _above(operation):
            sums[key] += operation.work
    return dict(sorted(sums.items(), key=lambda item: _place(item[0], list(sums))))


def costs(operations: Sequence[Operation], *, subject: str, case: str, itemsize: int) -> list[Cost]:
    """Return three rows (dense, useful, executed) for every level; a detail is named `part: detail`."""
    rows = []
    for level, work in levels(operations).items():
        for kind in get_args(Kind):
            rows.append(
                Cost(
                    subject=subject,
                    case=case,
                    phase=level.phase,
                    part=f"{level.part}: {level.detail}" if level.detail else level.part,
                    layer=level.layer,
                    kind=kind,
                    flops=getattr(work, kind),
                    parameters=work.parameters,
                    weight_bytes=work.weights * itemsize,
                    activation_bytes=work.activations * itemsize,
                )
            )
    return rows


def table(operations: Sequence[Operation], *, itemsize: int, per_layer: bool = False) -> str:
    """Return the sums as text: phases, their parts and the head groups; with `per_layer` every layer and convolution, too."""
    sums = levels(operations)
    unit, name = (1e12, "TFLOP") if sums[Level("total")].dense >= 1e12 else (1e9, "GFLOP")
    lines = [
        f"{name:>66}{'MiB':>28}",
        f"{'':38}{'dense':>11}{'useful':>11}{'executed':>11}{'parameters':>15}{'weights':>11}{'activations':>13}{'FLOP/byte':>11}",
    ]
    shown = {level: work for level, work in sums.items() if per_layer or _brief(level)}
    for level, work in shown.items():
        if level.phase == "total":
            continue
        lines.append(_line(_label(level), work, unit, itemsize))
    lines.append(_line("total of a call", sums[Level("total")], unit, itemsize))
    return "\n".join(lines)


def _line(label: str, work: Work, unit: float, itemsize: int) -> str:
    moved = work.bytes_moved(itemsize)
    intensity = f"{work.executed / moved:.1f}" if moved else "-"
    flops = "".join(f"{value / unit:11.4f}" for value in (work.dense, work.useful, work.executed))
    weights, activations = (numbers * itemsize / 2**20 for numbers in (work.weights, work.activations))
    return f"{label:38}{flops}{work.parameters:15,}{weights:11,.1f}{activations:13,.1f}{intensity:>11}"
