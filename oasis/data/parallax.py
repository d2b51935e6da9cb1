"""A stereo photograph seen from moving viewpoints: a rubber sheet over its disparity, nearest surface in front."""

import functools
import math

import numpy as np
from numpy.typing import NDArray

from oasis.data import photos
from oasis.degrade import ops

Array = NDArray[np.float64]


@functools.lru_cache(maxsize=2)
def depth(shrink: float, shape: tuple[int, int]) -> Array:
    """Return the disparity of `motorcycle` at 1/shrink of its size, around its median, as float64 "h w" of `shape`.

    Gaps take the farther of their two neighbours in the row; then it is smoothed, so that the sheet stretches at edges.
    """
    raw = photos.disparity()
    known = np.isfinite(raw)
    column = np.arange(raw.shape[1])
    before = np.maximum.accumulate(np.where(known, column, 0), axis=1)
    after = np.minimum.accumulate(np.where(known, column, raw.shape[1] - 1)[:, ::-1], axis=1)[:, ::-1]
    sides = np.stack([np.take_along_axis(raw, side, axis=1) for side in (before, after)])
    filled = np.where(np.isfinite(sides), sides, np.inf).min(axis=0)
    filled = np.where(np.isfinite(filled), filled, np.median(raw[known]))
    smooth = ops.blur(filled.astype(np.float32)[None, :, :, None], 1.5 * shrink)[0, :, :, 0]
    rows = (np.arange(shape[0]) + 0.5) * raw.shape[0] / shape[0] - 0.5
    columns = (np.arange(shape[1]) + 0.5) * raw.shape[1] / shape[1] - 0.5
    grid_y, grid_x = np.meshgrid(rows, columns, indexing="ij")
    small = photos.sample(np.repeat(smooth.astype(np.float64)[None], 3, axis=0), grid_x, grid_y)[0]
    return (small - np.median(small)) / shrink


def rows_at(field: Array, y: Array) -> Array:
    """Return the rows of a field "h w" at real positions `y` "n", linear in between, as "n w"."""
    top = np.clip(np.floor(y).astype(np.int64), 0, field.shape[0] - 2)
    share = (y - top)[:, None]
    return (1 - share) * field[top] + share * field[top + 1]


def value_at(rows: Array, u: Array) -> Array:
    """Return rows "n w" at the real positions `u` "n m", linear in between."""
    left = np.clip(np.floor(u).astype(np.int64), 0, rows.shape[1] - 2)
    first = np.take_along_axis(rows, left, axis=1)
    return first + (u - left) * (np.take_along_axis(rows, left + 1, axis=1) - first)


def front(rows: Array, viewpoint: float, x: Array) -> Array:
    """Return the nearest u with u - viewpoint * d(u) = x, for disparity rows "n w" and x "n m"; as "n m".

    d is linear between pixels, so each piece has at most one solution; of several, the one with the largest d is seen.
    Beyond the sides of the photograph its outermost pixel goes on.
    """
    reach = math.ceil(abs(viewpoint) * float(np.abs(rows).max())) + 1
    position = np.arange(rows.shape[1]) - viewpoint * rows
    base = np.floor(x).astype(np.int64)
    last = rows.shape[1] - 1
    best = np.full(x.shape, -np.inf)
    found = np.clip(x, 0, last)
    for step in range(-reach, reach + 1):
        left = np.clip(base + step, 0, last - 1)
        start = np.take_along_axis(position, left, axis=1)
        length = np.take_along_axis(position, left + 1, axis=1) - start
        share = (x - start) / np.where(length == 0, np.inf, length)
        near = np.take_along_axis(rows, left, axis=1)
        d = near + share * (np.take_along_axis(rows, left + 1, axis=1) - near)
        take = (share >= 0) & (share <= 1) & (d > best)
        best = np.where(take, d, best)
        found = np.where(take, left + share, found)
    return found
