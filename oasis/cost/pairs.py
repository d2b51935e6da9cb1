"""What attention costs: attended pairs and FLOPs of patterns and tables, counted from shapes; no tensors."""

import itertools
import math
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from oasis.grid import Grid, bands
from oasis.routing import Pattern, RoutingTable


class Axis(NamedTuple):
    """Which keys a query sees along one axis of `length` tokens.

    The axis is cut into cells of `size` (borders moved by `shift`, see `grid.bands`), and a query sees the keys whose
    cell number differs from its own by at most `reach`. Only single tokens have a reach: size is 1 or reach is 0.
    """

    length: int
    size: int = 1
    shift: int = 0
    reach: int = 0

    @property
    def keys(self) -> list[int]:
        """Number of keys that each position sees."""
        if self.reach:
            last = self.length - 1
            return [min(p + self.reach, last) - max(p - self.reach, 0) + 1 for p in range(self.length)]
        return [band.size for band in bands(self.length, self.size, self.shift) for _ in range(band.cells * band.size)]


def axes(pattern: Pattern, grid: Grid) -> tuple[Axis, Axis, Axis]:
    """Return the pattern as one rule for frames, rows and columns: a video key is seen where all three rules allow it."""
    frames, rows, columns = (Axis(length, size=length) for length in (grid.t, grid.h, grid.w))
    match pattern:
        case Pattern(kind="global"):
            return frames, rows, columns
        case Pattern(kind="frame"):
            return Axis(grid.t), rows, columns
        case Pattern(kind="window", size=(height, width), shifts=(down, right)):
            return frames, Axis(grid.h, height, down), Axis(grid.w, width, right)
        case Pattern(kind="neighbour", frames=int(reach)):
            return Axis(grid.t, reach=reach), rows, columns
        case Pattern(kind="sliding", radius=(height, width)):
            return frames, Axis(grid.h, reach=height), Axis(grid.w, reach=width)
    raise AssertionError(f"no rule for {pattern}")


def attended_pairs(pattern: Pattern, grid: Grid) -> int:
    """Return the number of (query, key) pairs that the pattern allows, ragged borders and text tokens included."""
    video = math.prod(sum(axis.keys) for axis in axes(pattern, grid))
    return video + pattern.text * (2 * grid.tokens + pattern.text)


def attention_flops(pattern: Pattern, grid: Grid, d: int) -> int:
    """Return the FLOPs of one head of width `d`: 2 per multiply-add of q k^T and of p v, softmax left out."""
    return 4 * d * attended_pairs(pattern, grid)


def keys_mean(pattern: Pattern, grid: Grid) -> float:
    """Return the number of keys that a query sees, averaged over queries."""
    return attended_pairs(pattern, grid) / (grid.tokens + pattern.text)


def uniform_kl(pattern: Pattern, grid: Grid) -> float:
    """Return the mean over queries of log(N / |S_i|), nats: the KL divergence of a head that looks everywhere equally.

    Text tokens count in N and in every S_i; the mean is over the video queries, because text queries lose nothing.
    """
    if pattern.text:
        counts = itertools.product(*(Counter(axis.keys).items() for axis in axes(pattern, grid)))
        logs = (
            math.prod(queries) * math.log((grid.tokens + pattern.text) / (math.prod(keys) + pattern.text))
            for keys, queries in (zip(*of_axes, strict=True) for of_axes in counts)
        )
        return math.fsum(logs) / grid.tokens
    return math.fsum(
        math.fsum(math.log(axis.length / keys) for keys in axis.keys) / axis.length for axis in axes(pattern, grid)
    )


def layer_flops(patterns: Iterable[Pattern], grid: Grid, d: int) -> int:
    """Return the attention FLOPs of one layer, given the pattern of every head."""
    return sum(attention_flops(pattern, grid, d) for pattern in patterns)


def routing_flops(table: RoutingTable, grid: Grid, d: int) -> int:
    """Return the self-attention FLOPs of a whole routed network with heads of width `d`."""
    per_head = {letter: attention_flops(pattern, grid, d) for letter, pattern in table.patterns.items()}
    return sum(per_head[letter] * count for letter, count in table.counts().items())


def routing_ratio(table: RoutingTable, grid: Grid) -> float:
    """Return the routed network's self-attention FLOPs as a share of the dense network's, in (0, 1]."""
    dense = 4 * (grid.tokens + table.text) ** 2 * table.heads * len(table.layers)
    return routing_flops(table, grid, d=1) / dense
