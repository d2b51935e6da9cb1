"""Which (query, key) pairs a backend really multiplies for a pattern: the counterpart of `pairs.attended_pairs`."""

import functools
from collections import Counter
from typing import Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Int

from oasis.cost.pairs import Axis, axes
from oasis.grid import Grid, bands
from oasis.routing import Pattern

Backend = Literal["folded", "flex", "masked", "varlen"]
BLOCK = 128
"""Queries and keys of one block of FlexAttention's mask; the kernels' tiles divide it."""


class Tile(NamedTuple):
    """Queries and keys that a fused kernel takes at a time; what a call lacks to a multiple is computed and thrown away."""

    queries: int = 1
    keys: int = 1


EXACT = Tile()


class Rectangle(NamedTuple):
    """A dense attention: all of `queries` against all of `keys`."""

    queries: int
    keys: int


def executed_pairs(pattern: Pattern, grid: Grid, backend: Backend, tile: Tile = EXACT) -> int:
    """Return the pairs of one head that `backend` multiplies.

    `masked`: all. `folded`: its dense calls, with the columns that a mask hides where the pattern slides over columns.
    `varlen`: the same pairs in one launch, of patterns that do not slide. `flex`: every block of 128 x 128 that holds an
    allowed pair; `tile` has no meaning there.
    """
    match backend:
        case "masked":
            tokens = pattern.text + grid.tokens
            return padded_pairs(Rectangle(tokens, tokens), tile)
        case "varlen" if pattern.text:
            raise ValueError("attention backend 'varlen' takes no patterns with text tokens; use 'folded'")
        case "folded" | "varlen":
            return sum(padded_pairs(call, tile) * count for call, count in folded_calls(pattern, grid).items())
        case "flex":
            return flex_blocks(pattern, grid) * BLOCK**2
    raise ValueError(f"attention backend {backend!r} is unknown; allowed: {', '.join(get_args(Backend))}")


def padded_pairs(call: Rectangle, tile: Tile) -> int:
    """Return the pairs of a dense call in whole tiles."""
    return _round_up(call.queries, tile.queries) * _round_up(call.keys, tile.keys)


def folded_calls(pattern: Pattern, grid: Grid) -> Counter[Rectangle]:
    """Return the dense attentions of one head as `oasis.attention.folded` makes them, cells of a batch counted each."""
    along_t, along_h, along_w = axes(pattern, grid)
    calls: Counter[Rectangle] = Counter()
    for t, frames in _folds(along_t).items():
        for h, rows in _folds(along_h).items():
            for w, columns in (_whole(along_w) if along_w.reach else _folds(along_w)).items():
                keys = pattern.text + t.keys * h.keys * w.keys
                calls[Rectangle(t.queries * h.queries * w.queries, keys)] += frames * rows * columns
    if pattern.text:
        calls[Rectangle(pattern.text, pattern.text + grid.tokens)] += 1
    return calls


@functools.lru_cache(maxsize=256)
def flex_blocks(pattern: Pattern, grid: Grid) -> int:
    """Return how many blocks of FlexAttention's mask hold at least one allowed pair.

    The queries of a block are at most some runs, each inside one row of one frame. A run sees the same frames and rows as
    its first query, and of their columns all from the first that its first query sees to the last that its last query sees.
    ValueError for patterns with text tokens, which `flex` does not take.
    """
    if pattern.text:
        raise ValueError("attention backend 'flex' takes no patterns with text tokens; use 'folded'")
    first, last = zip(*(_seen(axis) for axis in axes(pattern, grid)), strict=True)
    found = 0
    for start in range(0, grid.tokens, BLOCK):
        stop = min(start + BLOCK, grid.tokens)
        changes = np.zeros(-(-grid.tokens // BLOCK) + 1, np.int64)
        for row in range(start // grid.w, -(-stop // grid.w)):
            t, h = divmod(row, grid.h)
            left, right = max(start - row * grid.w, 0), min(stop - row * grid.w, grid.w) - 1
            frames = np.arange(first[0][t], last[0][t] + 1)
            rows = np.arange(first[1][h], last[1][h] + 1)
            seen = (frames[:, None] * grid.h + rows).ravel() * grid.w
            np.add.at(changes, (seen + first[2][left]) // BLOCK, 1)
            np.add.at(changes, (seen + last[2][right]) // BLOCK + 1, -1)
        found += int(np.count_nonzero(changes.cumsum()))
    return found


def _seen(axis: Axis) -> tuple[Int[np.ndarray, "n"], Int[np.ndarray, "n"]]:
    """Return the first and the last position that each position of an axis sees; all between are seen, too."""
    position = np.arange(axis.length)
    if axis.reach:
        return np.maximum(position - axis.reach, 0), np.minimum(position + axis.reach, axis.length - 1)
    cell = (position + axis.shift) // axis.size * axis.size - axis.shift
    return np.maximum(cell, 0), np.minimum(cell + axis.size, axis.length) - 1


def _folds(axis: Axis) -> Counter[Rectangle]:
    if axis.reach:
        return Counter(Rectangle(1, keys) for keys in axis.keys)
    folds: Counter[Rectangle] = Counter()
    for band in bands(axis.length, axis.size, axis.shift):
        folds[Rectangle(band.size, band.size)] += band.cells
    return folds


def _whole(axis: Axis) -> Counter[Rectangle]:
    return Counter([Rectangle(axis.length, axis.length)])


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
