"""The two fixed degradations of the benchmarks: bicubic (BI), and blur then decimation (BD) in its two published phases."""

import math
from typing import Literal

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray
from numpy.typing import NDArray

SCALE = 4
SIGMA = 1.6  # of the Gaussian of BD, in pixels of the clean clip
Phase = Literal["mmagic", "pfnl"]
Border = Literal["symmetric", "edge", "reflect"]


def bi(clip: UInt8[ndarray, "*t h w 3"], scale: int = SCALE) -> UInt8[ndarray, "*t h/scale w/scale 3"]:
    """Shrink frames as MATLAB's imresize(frame, 1/scale) does: bicubic with a = -0.5, antialiased, pixels as areas.

    As in MATLAB with uint8 pictures, rows are reduced first and rounded to whole levels of 0..255 before columns are; borders
    are mirrored with their outermost pixel repeated. Tools that keep floats between the sides differ by one level, and by
    more where rows overshoot 0..255. ValueError if a side is no multiple of `scale`.
    """
    _check_divides(clip, scale)
    centre = (scale - 1) / 2
    first = math.ceil(centre - 2 * scale)
    taps = _keys((np.arange(first, math.floor(centre + 2 * scale) + 1) - centre) / scale)
    rows = _rounded(_decimate(clip, taps, first, scale, axis=-3, border="symmetric"))
    return _rounded(_decimate(rows, taps, first, scale, axis=-2, border="symmetric"))


def bd(clip: UInt8[ndarray, "*t h w 3"], phase: Phase) -> UInt8[ndarray, "*t h/4 w/4 3"]:
    """Blur frames with a Gaussian of sigma 1.6 and keep every fourth pixel of every fourth row.

    "mmagic" (BD_degradation.m of BasicVSR-IconVSR@7d51e8f): 12 taps, borders replicated, pixels 1, 5, 9, ... from 0; since
    the middle of an even kernel lies between two pixels, a sample is centred at 1.5, as in `bi`. "pfnl" (utils.py of
    PFNL@b575497, `blur4` of UDM10, before it DUF): 13 taps, borders reflected, pixels 0, 4, 8, ..., centred at 0. The two
    are 1.5 pixels apart, which costs a network trained on the other one 13 dB (mmagic issue 803).

    ValueError if a side is no multiple of 4.
    """
    _check_divides(clip, SCALE)
    size, first, border = _PHASES[phase]
    taps = np.exp(-0.5 * ((np.arange(size) - (size - 1) / 2) / SIGMA) ** 2)
    taps /= taps.sum()
    rows = _decimate(clip, taps, first, SCALE, axis=-3, border=border)
    return _rounded(_decimate(rows, taps, first, SCALE, axis=-2, border=border))


# Taps, the input pixel that the first of them meets for output 0, and what lies beyond the border.
_PHASES: dict[Phase, tuple[int, int, Border]] = {"mmagic": (12, -4, "edge"), "pfnl": (13, -6, "reflect")}


def _check_divides(clip: NDArray, scale: int) -> None:
    height, width = clip.shape[-3:-1]
    if height % scale or width % scale:
        raise ValueError(
            f"frames of {width}x{height} pixels cannot be reduced by {scale}: crop right and bottom to multiples of it first"
        )


def _keys(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Keys' cubic convolution kernel, a = -0.5, at `x`, with a sum of 1."""
    x = np.abs(x)
    near, far = (1.5 * x - 2.5) * x**2 + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    taps = np.where(x <= 1, near, np.where(x < 2, far, 0))
    return taps / taps.sum()


def _decimate(
    clip: NDArray, taps: NDArray[np.float64], first: int, scale: int, *, axis: int, border: Border
) -> Float[ndarray, "..."]:
    """Return sum_k taps[k] * clip[scale * i + first + k] for every output i along `axis`."""
    length = clip.shape[axis]
    width = [(0, 0)] * clip.ndim
    width[axis] = (-first, first + len(taps) - scale)
    padded = np.moveaxis(np.pad(clip, width, mode=border), axis, 0)
    shares = (tap * padded[start : start + length : scale] for start, tap in enumerate(taps))
    return np.moveaxis(sum(shares, start=np.zeros(())), 0, axis)


def _rounded(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    # Halves go up, as in MATLAB; numpy's rint would send them to the even neighbour.
    return np.floor(np.clip(values, 0, 255) + 0.5).astype(np.uint8)
