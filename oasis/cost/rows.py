"""Operations summed at every level, as rows of `oasis.costs` and as a table to read."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, get_args

from oasis.cost.operation import Operation, Work, total
from oasis.costs import Cost, Kind

ITEMSIZE = {"fp32": 4, "bf16": 2, "fp16": 2}
"""Bytes of a number, by dtype."""


class Level(NamedTuple):
    """What a sum is over: empty, or -1, where it is over all."""

    phase: str
    part: str = ""
    layer: int = -1
    detail: str = ""


def levels(operations: Sequence[Operation]) -> dict[Level, Work]:
    """Return the sums: the total, then every phase, its parts, their details and layers, each above what it consists of.

    The total is of one call (or clip): the set-up, which runs once at load, adds its parameters and nothing else.
    """
    calls = [operation for operation in operations if operation.phase != "setup"]
    sums = {Level("total"): replace(total(calls), parameters=total(operations).parameters)}
    for phase, in_phase in _groups(operations, "phase"):
        sums[Level(phase)] = total(in_phase)
        for part, in_part in _groups(in_phase, "part"):
            sums[Level(phase, part)] = total(in_part)
            sums |= {Level(phase, part, -1, detail): total(of) for detail, of in _groups(in_part, "detail") if detail}
            for layer, in_layer in _groups(in_part, "layer"):
                if layer >= 0:
                    sums[Level(phase, part, layer)] = total(in_layer)
                    sums |= {Level(phase, part, layer, each): total(of) for each, of in _groups(in_layer, "detail") if each}
    return sums


def _groups(operations: Iterable[Operation], field: str) -> list[tuple[Any, list[Operation]]]:
    """Return the values of a field in the order in which they appear, each with its operations."""
    found: dict[Any, list[Operation]] = {}
    for operation in operations:
        found.setdefault(getattr(operation, field), []).append(operation)
    return list(found.items())


def costs(operations: Sequence[Operation], *, subject: str, case: str, itemsize: int) -> list[Cost]:
    """Return three rows (dense, useful, executed) for every level; a detail is named `part: detail`."""
    return [
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
        for level, work in levels(operations).items()
        for kind in get_args(Kind)
    ]


def table(operations: Sequence[Operation], *, itemsize: int, per_layer: bool = False) -> str:
    """Return the sums as text: phases, their parts and head groups; with `per_layer` every layer and convolution, too."""
    sums = levels(operations)
    whole = sums.pop(Level("total"))
    scale, unit = (1e12, "TFLOP") if whole.dense >= 1e12 else (1e9, "GFLOP")
    heads = ("", unit, unit, unit, "", "MiB of", "MiB of", "FLOP per")
    names = ("", "dense", "useful", "executed", "parameters", "weights", "activations", "byte moved")
    shown = [(level, work) for level, work in sums.items() if per_layer or _is_brief(level)]
    rows = [(_label(level), *_cells(work, scale, itemsize)) for level, work in shown]
    rows.append(("total", *_cells(whole, scale, itemsize)))
    widths = [max(map(len, column)) for column in zip(heads, names, *rows, strict=True)]
    return "\n".join(_line(row, widths) for row in (heads, names, *rows))


def _is_brief(level: Level) -> bool:
    return level.layer < 0 and (not level.detail or level.phase == "dit")


def _label(level: Level) -> str:
    layer = f"layer {level.layer}" if level.layer >= 0 else ""
    deepest = " ".join(filter(None, (layer, level.detail))) or level.part or level.phase
    depth = bool(level.part) + (level.layer >= 0) + bool(level.detail)
    return "  " * depth + deepest


def _cells(work: Work, scale: float, itemsize: int) -> tuple[str, ...]:
    moved = (work.weights + work.activations) * itemsize
    return (
        *(f"{flops / scale:,.4f}" if flops else "0" for flops in (work.dense, work.useful, work.executed)),
        f"{work.parameters:,}",
        *(f"{numbers * itemsize / 2**20:,.1f}" for numbers in (work.weights, work.activations)),
        f"{work.executed / moved:,.1f}" if work.executed else "",
    )


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    return "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]).rstrip()
