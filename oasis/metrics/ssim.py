"""SSIM and MS-SSIM of two images: four filtered maps, a stripe of rows at a time."""

import cv2
import numpy as np
from einops import reduce
from jaxtyping import Shaped
from numpy import ndarray
from numpy.typing import NDArray

GAUSSIAN: NDArray[np.float64] = cv2.getGaussianKernel(11, 1.5)[:, 0].astype(np.float64)
FLAT = np.full(7, 1 / 7)
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Weights of MS-SSIM's scales, finest first (Wang et al. 2003)."""
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
    """
    return _means(output, reference, taps=taps, peak=peak, sample=sample, clamp=clamp)[0]


def ms_ssim(output: Shaped[ndarray, "h w"], reference: Shaped[ndarray, "h w"]) -> float:
    """Return MS-SSIM (Wang et al. 2003) of uint8 images, sides of at least 161 pixels, by pyiqa's definition.

    Contrast of the four finer scales and SSIM of the coarsest, to the powers of their weights; a negative contrast is 0.
    A scale is the mean of 2x2 pixels of the one before; an odd side gets a line of zeros in front, which is averaged in.
    """
    product = 1.0
    for weight in SCALES[:-1]:
        product *= _means(output, reference, clamp=True)[1] ** weight
        output, reference = _halved(output), _halved(reference)
    return product * ssim(output, reference, clamp=True) ** SCALES[-1]


def _halved(image: Shaped[ndarray, "h w"]) -> Shaped[ndarray, "h2 w2"]:
    even = cv2.copyMakeBorder(image, image.shape[0] % 2, 0, image.shape[1] % 2, 0, cv2.BORDER_CONSTANT, value=0)
    return reduce(even.astype(np.float32), "(h i) (w j) -> h w", "mean", i=2, j=2)


def _means(
    output: Shaped[ndarray, "h w *c"],
    reference: Shaped[ndarray, "h w *c"],
    *,
    taps: NDArray[np.float64] = GAUSSIAN,
    peak: float = 255,
    sample: bool = False,
    clamp: bool = False,
) -> tuple[float, float]:
    """Return the means of SSIM and of its contrast term over windows and channels.

    For s = x + y and d = x - y, 4 m_x m_y is m_s^2 - m_d^2, the same holds for covariance and variances, and equation 13
    becomes (m_s^2 - m_d^2 + 2 C1) (v_s - v_d + 2 C2) / ((m_s^2 + m_d^2 + 2 C1) (v_s + v_d + 2 C2)). It takes four filtered
    maps instead of five, and float32 is enough: what rounding does to v_s touches both sides of the fraction.
    """
    windows = len(taps) ** 2
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2 * ((windows - 1) / windows if sample else 1)
    reach, channels = len(taps) // 2, output[0, 0].size
    total, contrasts, count = 0.0, 0.0, 0
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
        contrast = np.maximum(contrast, 0) if clamp else contrast
        total += float((luminance * contrast).sum(dtype=np.float64))
        contrasts += float(contrast.sum(dtype=np.float64))
        count += contrast.size
    return total / count, contrasts / count


def _similar(sums: Shaped[ndarray, "h w *c"], differences: Shaped[ndarray, "h w *c"], constant: float) -> ndarray:
    sums = sums + constant
    return (sums - differences) / (sums + differences)
