"""SSIM of two images: four filtered maps, a stripe of rows at a time."""

import cv2
import numpy as np
from jaxtyping import Shaped
from numpy import ndarray
from numpy.typing import NDArray

GAUSSIAN: NDArray[np.float64] = cv2.getGaussianKernel(11, 1.5)[:, 0].astype(np.float64)
FLAT = np.full(7, 1 / 7)
# Small enough for the processor's cache, large beside the 10 rows that neighbours share.
_STRIPE = 64


def ssim(
    output: Shaped[ndarray, "h w *c"],
    reference: Shaped[ndarray, "h w *c"],
    *,
    taps: NDArray[np.float64] = GAUSSIAN,
    peak: float = 255,
    sample: bool = False,
    clamp: bool = False,
) -> float:
    """Return the mean SSIM (Wang et al. 2004, equation 13) of uint8 or float32 images over whole windows and channels.

    A window is the outer product of `taps`. `sample` takes the variances of a sample, n / (n - 1) times as large, as
    scikit-image does by default; `clamp` puts 0 for a negative contrast, as pyiqa does.

    For s = x + y and d = x - y, 4 m_x m_y is m_s^2 - m_d^2, the same holds for covariance and variances, and equation 13
    becomes (m_s^2 - m_d^2 + 2 C1) (v_s - v_d + 2 C2) / ((m_s^2 + m_d^2 + 2 C1) (v_s + v_d + 2 C2)). It takes four filtered
    maps instead of five, and float32 is enough: what rounding does to v_s touches both sides of the fraction.
    """
    windows = len(taps) ** 2
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2 * ((windows - 1) / windows if sample else 1)
    reach, channels = len(taps) // 2, output[0, 0].size
    total, count = 0.0, 0
    for top in range(0, len(output) - 2 * reach, _STRIPE):
        x, y = (image[top : top + _STRIPE + 2 * reach] for image in (output, reference))
        # Squares of small numbers lose less: variances are taken about the stripe's mean.
        middle = (sum(cv2.mean(x)) + sum(cv2.mean(y))) / channels
        s = cv2.addWeighted(x, 1, y, 1, -middle, dtype=cv2.CV_32F)
        d = cv2.subtract(x, y, dtype=cv2.CV_32F)
        maps = (cv2.sepFilter2D(values, cv2.CV_32F, taps, taps) for values in (s, d, s * s, d * d))
        mean_s, mean_d, square_s, square_d = (values[reach:-reach, reach:-reach] for values in maps)
        luminance = _similar((mean_s + middle) ** 2, mean_d**2, 2 * c1)
        contrast = _similar(square_s - mean_s**2, square_d - mean_d**2, 2 * c2)
        values = luminance * (np.maximum(contrast, 0) if clamp else contrast)
        total += float(values.sum(dtype=np.float64))
        count += values.size
    return total / count


def _similar(sums: Shaped[ndarray, "h w *c"], differences: Shaped[ndarray, "h w *c"], constant: float) -> ndarray:
    sums = sums + constant
    return (sums - differences) / (sums + differences)
