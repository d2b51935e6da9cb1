"""One counted operation, and how operations add up.

What is counted, here and everywhere in this package: matrix products and convolutions, 2 FLOPs per multiply-add. Norms,
activations, softmax, rotary positions, modulation, biases and interpolation are not; their parameters are.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Literal

Phase = Literal["unshuffle", "skip", "dit", "decoder", "bicubic", "setup"]


@dataclass(frozen=True, kw_only=True)
class Work:
    """FLOPs of three kinds, parameters, and numbers moved.

    `dense`: FLOPs with every head global. `useful`: on pairs inside the patterns. `executed`: what the backend multiplies,
    pairs that a mask throws away and the padding of tiles included. `weights` and `activations` are numbers (not bytes)
    that must be read or written at least: weights once per call of the network, inputs and outputs once per operation.
    """

    dense: int = 0
    useful: int = 0
    executed: int = 0
    parameters: int = 0
    weights: int = 0
    activations: int = 0

    def __add__(self, other: "Work") -> "Work":
        return Work(**{each.name: getattr(self, each.name) + getattr(other, each.name) for each in fields(Work)})

    def repeated(self, times: int) -> "Work":
        """Return everything so many times."""
        return Work(**{each.name: getattr(self, each.name) * times for each in fields(Work)})


@dataclass(frozen=True, kw_only=True)
class Operation:
    """Work and where in the network it is done.

    `layer`: of the transformer, -1 elsewhere. `detail`: the pattern of a group of heads, or the name of a convolution.
    """

    phase: Phase
    part: str
    layer: int = -1
    detail: str = ""
    work: Work = field(default_factory=Work)


def total(operations: Iterable[Operation]) -> Work:
    """Return the sum of the work."""
    return sum((operation.work for operation in operations), Work())


def product(multiply_adds: int, *, parameters: int = 0, activations: int = 0) -> Work:
    """Return the work of a product that no pattern touches."""
    flops = 2 * multiply_adds
    return Work(
        dense=flops,
        useful=flops,
        executed=flops,
        parameters=parameters,
        weights=parameters,
        activations=activations,
    )


def stored(parameters: int) -> Work:
    """Return the work of an elementwise operation with parameters: only they count."""
    return Work(parameters=parameters, weights=parameters)


def linear(rows: int, inputs: int, outputs: int, *, bias: bool = True) -> Work:
    """Return the work of a linear layer on `rows` vectors."""
    parameters = inputs * outputs + bias * outputs
    return product(rows * inputs * outputs, parameters=parameters, activations=rows * (inputs + outputs))


def convolution(positions: int, kernel: tuple[int, ...], inputs: int, outputs: int) -> Work:
    """Return the work of a convolution of stride 1 with bias; its zero padding is multiplied, too."""
    taps = math.prod(kernel) * inputs
    parameters = taps * outputs + outputs
    return product(positions * taps * outputs, parameters=parameters, activations=positions * (inputs + outputs))
