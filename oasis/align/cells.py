"""The cells of two sketches laid over each other."""

import numpy as np
from jaxtyping import Float, Float32
from numpy import ndarray

from oasis.align.registration import Place
from oasis.align.sketch import Sketch


def laid_over(
    output: Sketch, reference: Sketch, place: Place, cells: Float32[ndarray, "t v u *c"]
) -> Float32[ndarray, "t y x *c"]:
    """Return cells of the reference as the output's cells would show them, linearly interpolated; NaN where nothing is."""
    height, width = output.thumbnails.shape[1:]
    columns = _positions(width, output.pitch[0], reference.pitch[0], output.size.width, place.x, place.drift_x)
    rows = _positions(height, output.pitch[1], reference.pitch[1], output.size.height, place.y, place.drift_y)
    return _taken(_taken(cells, rows, 1), columns, 2)


def _positions(count: int, output: float, reference: float, side: int, shift: float, drift: float) -> Float[ndarray, "n"]:
    """Return where the middles of the output's cells lie, counted in cells of the reference; pitches and sides in pixels."""
    pixels = (np.arange(count) + 0.5) * output
    return (pixels + shift + drift * (2 * pixels / side - 1)) / reference - 0.5


def _taken(cells: Float32[ndarray, "..."], positions: Float[ndarray, "n"], axis: int) -> Float32[ndarray, "..."]:
    last = cells.shape[axis] - 1
    inside = np.clip(positions, 0, last)
    before = np.floor(inside).astype(int)
    shape = [len(positions) if i == axis else 1 for i in range(cells.ndim)]
    weight = np.where((positions > -0.5) & (positions < last + 0.5), inside - before, np.nan).astype(np.float32).reshape(shape)
    first, second = (np.take(cells, numbers, axis=axis) for numbers in (before, np.minimum(before + 1, last)))
    return first + weight * (second - first)
