"""Errors at the boundaries between chunks, tiles and scenes, over those in the interior: 1 where no boundary shows."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int16
from numpy import ndarray

from oasis.measures.temporal import chunk_of, tile_of
from oasis.metrics.frames import Frame
from oasis.metrics.meter import Result, Setting, Unavailable


class Places(NamedTuple):
    """Which of n errors lie at a boundary, and which in the interior; some may be neither."""

    boundary: Bool[ndarray, " n"]
    interior: Bool[ndarray, " n"]


def make(names: Sequence[str], setting: Setting) -> "Boundaries":
    """Return the meter of `boundary@...`; `Unavailable` where a clip has no such boundary, or nothing but boundaries."""
    return Boundaries(names, setting)


class Boundaries:
    """Errors of every pair of neighbouring frames, rows and columns, and where their boundaries are.

    With the error e = output - reference, the change from frame to frame is wrong by |e(t) - e(t-1)|, the step from
    column to column by |e(x) - e(x-1)|, in grey levels.
    """

    def __init__(self, names: Sequence[str], setting: Setting) -> None:
        self._in_time = {name: _pairs(name, setting) for name in names if tile_of(name) is None}
        self._in_space = {name: _seams(name, tile, setting) for name in names if (tile := tile_of(name))}
        self._changes: list[float] = []
        self._rows, self._columns = np.zeros(setting.height - 1), np.zeros(setting.width - 1)
        self._before: Int16[ndarray, "h w 3"] | None = None

    def add(self, output: Frame, reference: Frame | None) -> None:
        """Take the next frame; ValueError if there is no reference."""
        if reference is None:
            raise ValueError("a full-reference measure was given no reference frame")
        error = np.subtract(output.rgb, reference.rgb, dtype=np.int16)
        if self._in_time and self._before is not None:
            self._changes.append(float(np.abs(error - self._before).mean()))
        if self._in_space:
            self._rows += np.abs(np.diff(error, axis=0)).mean(axis=(1, 2))
            self._columns += np.abs(np.diff(error, axis=1)).mean(axis=(0, 2))
        self._before = error

    def result(self) -> dict[str, Result]:
        """Return the ratios; infinite where only boundaries are wrong, 1 where nothing is."""
        changes = np.array(self._changes)
        values = {name: ratio(changes, places) for name, places in self._in_time.items()}
        for name, (rows, columns) in self._in_space.items():
            each = [
                ratio(*direction) for direction in ((self._rows, rows), (self._columns, columns)) if direction[1].boundary.any()
            ]
            values[name] = sum(each) / len(each)
        return {name: Result(value=value) for name, value in values.items()}


def ratio(errors: Float[ndarray, " n"], places: Places) -> float:
    """Return the mean error at boundaries over the mean in the interior; 1 if both are 0, infinite if only the latter is."""
    boundary, interior = float(errors[places.boundary].mean()), float(errors[places.interior].mean())
    if interior == 0:
        return 1.0 if boundary == 0 else math.inf
    return boundary / interior


def _pairs(name: str, setting: Setting) -> Places:
    """Return the places of pairs, each known by its later frame: 1, 2, ..."""
    later = np.arange(1, setting.frames)
    across = np.isin(later, setting.cuts)
    chunk = chunk_of(name)
    near = later % chunk == 0 if chunk else np.isin(later, [cut + side for cut in setting.cuts for side in (-1, 1)])
    places = Places(near & ~across, ~near & ~across)
    cuts = ", ".join(map(str, setting.cuts)) or "none"
    if not places.boundary.any():
        raise Unavailable(
            f"{setting.clip}: {name}: none of its {len(later)} pairs of frames is at such a boundary; scene cuts: {cuts}"
        )
    if not places.interior.any():
        raise Unavailable(
            f"{setting.clip}: {name}: all of its {len(later)} pairs of frames are at boundaries; scene cuts: {cuts}"
        )
    return places


def _seams(name: str, tile: tuple[int, int], setting: Setting) -> tuple[Places, Places]:
    """Return the places of steps between rows and of those between columns, each known by the later: 1, 2, ..."""
    steps = [np.arange(1, side) % size == 0 for side, size in zip((setting.height, setting.width), tile, strict=True)]
    if not any(seams.any() for seams in steps):
        raise Unavailable(f"{setting.clip}: {name}: no seam lies within frames of {setting.height}x{setting.width} pixels")
    rows, columns = (Places(seams, ~seams) for seams in steps)
    return rows, columns
