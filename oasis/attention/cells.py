"""Tokens in the order of a pattern's cells, so that what attends together lies together."""

import itertools
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from oasis.cost import axes
from oasis.grid import Grid, cell_of
from oasis.kept import kept
from oasis.routing import Pattern


class Run(NamedTuple):
    """Cells of equal size that follow each other: their tokens, from `start` on."""

    start: int
    cells: int
    size: int

    @property
    def tokens(self) -> slice:
        """Where they lie."""
        return slice(self.start, self.start + self.cells * self.size)


class Cells(NamedTuple):
    """The number of the token at each place, cell by cell, and the cells in their order.

    The largest cells come first, those of equal size as they lie on the grid, and so do the tokens of a cell.
    """

    order: Int[np.ndarray, "n"]
    runs: tuple[Run, ...]


def divides(pattern: Pattern, grid: Grid) -> bool:
    """Return whether a pattern is a division into cells: every token sees those of its cell and no others."""
    return not any(axis.reach for axis in axes(pattern, grid))


@kept(64)
def cells(pattern: Pattern, grid: Grid) -> Cells:
    """Return the cells of a pattern that `divides` the grid."""
    along = [np.array([cell_of(p, axis.size, axis.shift) for p in range(axis.length)]) for axis in axes(pattern, grid)]
    t, h, w = (numbers - numbers.min() for numbers in along)
    count_h, count_w = h.max() + 1, w.max() + 1
    cell = ((t[:, None, None] * count_h + h[:, None]) * count_w + w).ravel()
    sizes = np.bincount(cell)
    place = np.empty_like(sizes)
    by_size = np.argsort(-sizes, kind="stable")
    place[by_size] = np.arange(len(sizes))
    order = np.argsort(place[cell], kind="stable")
    runs, start = [], 0
    for size, same in itertools.groupby(sizes[by_size].tolist()):
        runs.append(Run(start, len(list(same)), size))
        start = runs[-1].tokens.stop
    return Cells(order, tuple(runs))
