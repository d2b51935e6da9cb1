"""Bounds that values have by definition: one outside was written in another unit, such as per cent."""

import math

import numpy as np
from numpy.typing import NDArray

_SLACK = 1e-5  # rounding of float32 networks
_BOUNDS = {
    "psnr": (0.0, math.inf),
    "ssim": (-1.0, 1.0),
    "ms_ssim": (-1.0, 1.0),
    "gmsd": (0.0, 1.0),
    "fsim": (0.0, 1.0),
    "nlpd": (0.0, math.inf),
    "lpips": (0.0, math.inf),
    "clipiqa": (0.0, 1.0),
    "vmaf": (0.0, 100.0),
    "dover": (0.0, 1.0),
    "ewarp": (0.0, math.inf),
    "tof": (0.0, math.inf),
    "tlp": (0.0, math.inf),
    "sharpness": (0.0, math.inf),
    "boundary": (0.0, math.inf),
}


def of_measure(name: str) -> tuple[float, float]:
    """Return the lowest and the highest value that a measure can have; infinite where its definition has no bound."""
    return _BOUNDS.get(name.partition("@")[0], (-math.inf, math.inf))


def outside(name: str, values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which values of a measure no clip can have; NaN, where there is no value, is not one of them."""
    low, high = of_measure(name)
    return (values < low - _SLACK) | (values > high + _SLACK)
