"""Whether the frames of two clips show the same moments."""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from oasis.align.cells import laid_over
from oasis.align.registration import Place
from oasis.align.sketch import Sketch

_REACH = 8  # frames by which clips are shifted against each other; more where the reference is longer
_CLEARER = 1.2
_NOISE = 0.2  # mean square of the rounding of two thumbnails
_CELLS = 256  # that both show, below which nothing is told
_BLUR = 1.5  # standard deviation in cells, of the clip with the larger ones


class Lag(NamedTuple):
    """Output frame i shows reference frame i + lag if it is `told`, and likely so if not.

    `error` is the mean squared difference of thumbnails that is left then.
    """

    lag: int
    error: float
    told: bool


def find(output: Sketch, reference: Sketch, place: Place) -> Lag | None:
    """Return the lag between clips of which one lies in the other at `place`, None if too little of both is the same place.

    Every lag is judged by the mean squared difference of thumbnails, brought to equal mean per frame and equal contrast per
    clip. The best is told if it is 1.2 times better than every other; it is 0 unless it is so much better than that. At
    least half of the shorter clip's frames overlap.
    """
    curve = _curve(output, reference, place)
    if not curve:
        return None
    best, *others = sorted(curve, key=lambda lag: (curve[lag], abs(lag)))
    bound = _CLEARER * (curve[best] + _NOISE)
    if curve.get(0, np.inf) + _NOISE < bound:
        best = 0
    told = bool(others) and all(curve[lag] + _NOISE >= bound for lag in others)
    return Lag(best, curve[best], told)


def _curve(output: Sketch, reference: Sketch, place: Place) -> dict[int, float]:
    """Return the mean squared difference by lag."""
    # Cells of two sizes average differently; smoothed alike, little is left at the right moment.
    blur = [_BLUR * max(sides) for sides in zip(output.pitch, reference.pitch, strict=True)]
    wanted = _smooth(output, blur)
    seen = laid_over(output, reference, place, _smooth(reference, blur))
    common = np.isfinite(seen[0]) & _inner(*wanted.shape[1:])
    if np.count_nonzero(common) < _CELLS:
        return {}
    wanted, seen = _centred(wanted[:, common]), _centred(seen[:, common])
    contrast = float(np.std(wanted))
    if contrast:
        wanted *= float(np.std(seen)) / contrast
    first, second = len(wanted), len(seen)
    lags = range(-_REACH, max(0, second - first) + _REACH + 1)
    overlaps = {lag: (max(0, -lag), min(first, second - lag)) for lag in lags}
    half = -(-min(first, second) // 2)
    return {
        lag: float(np.mean((wanted[start:stop] - seen[start + lag : stop + lag]) ** 2))
        for lag, (start, stop) in overlaps.items()
        if stop - start >= half
    }


def _smooth(clip: Sketch, blur: list[float]) -> Float32[ndarray, "t v u"]:
    x, y = (sigma / side for sigma, side in zip(blur, clip.pitch, strict=True))
    frames = (thumbnail.astype(np.float32) for thumbnail in clip.thumbnails)
    return np.stack([cv2.GaussianBlur(frame, (0, 0), x, sigmaY=y) for frame in frames])


def _inner(rows: int, columns: int) -> ndarray:
    """Return where the border, smoothed with nothing behind it, does not reach."""
    inner = np.zeros((rows, columns), dtype=bool)
    top, left = (min(4, side // 4) for side in (rows, columns))
    inner[top : rows - top, left : columns - left] = True
    return inner


def _centred(thumbnails: Float32[ndarray, "t n"]) -> Float32[ndarray, "t n"]:
    return thumbnails - thumbnails.mean(axis=1, keepdims=True)
