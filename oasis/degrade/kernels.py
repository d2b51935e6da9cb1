"""The seven families of blur kernels of Real-ESRGAN and RealBasicVSR (BasicSR@8d56e3a, basicsr/data/degradations.py).

Every function gives a square float64 kernel of odd `size` with a sum of 1. Sigmas are in pixels, angles in radians from x to y
(right to down); the larger `beta`, the steeper the flank (1 is the Gaussian); `omega` is a cut-off in radians per pixel.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from numpy.typing import NDArray
from scipy.special import j1

Kernel = Float[ndarray, "size size"]


def iso(size: int, *, sigma_x: float) -> Kernel:
    """Return a round Gaussian."""
    return generalised_aniso(size, sigma_x=sigma_x, sigma_y=sigma_x, angle=0.0, beta=1.0)


def aniso(size: int, *, sigma_x: float, sigma_y: float, angle: float) -> Kernel:
    """Return an elliptic Gaussian."""
    return generalised_aniso(size, sigma_x=sigma_x, sigma_y=sigma_y, angle=angle, beta=1.0)


def generalised_iso(size: int, *, sigma_x: float, beta: float) -> Kernel:
    """Return exp(-d^beta / 2), d = (r / sigma)^2."""
    return generalised_aniso(size, sigma_x=sigma_x, sigma_y=sigma_x, angle=0.0, beta=beta)


def generalised_aniso(size: int, *, sigma_x: float, sigma_y: float, angle: float, beta: float) -> Kernel:
    """Return exp(-d^beta / 2), d the squared distance in units of the sigmas along the turned axes."""
    return _of_sum_1(np.exp(-0.5 * _squared_distance(size, sigma_x, sigma_y, angle) ** beta))


def plateau_iso(size: int, *, sigma_x: float, beta: float) -> Kernel:
    """Return 1 / (1 + d^beta), d = (r / sigma)^2."""
    return plateau_aniso(size, sigma_x=sigma_x, sigma_y=sigma_x, angle=0.0, beta=beta)


def plateau_aniso(size: int, *, sigma_x: float, sigma_y: float, angle: float, beta: float) -> Kernel:
    """Return 1 / (1 + d^beta), d the squared distance in units of the sigmas along the turned axes."""
    return _of_sum_1(1 / (1 + _squared_distance(size, sigma_x, sigma_y, angle) ** beta))


def sinc(size: int, *, omega: float) -> Kernel:
    """Return the low pass whose frequency response is 1 within the circle of radius `omega` and 0 outside, cut to `size`."""
    r = np.sqrt(_squared_distance(size, 1.0, 1.0, 0.0))
    r[size // 2, size // 2] = 1  # the limit there is omega^2 / (4 pi)
    kernel = omega * j1(omega * r) / (2 * np.pi * r)
    kernel[size // 2, size // 2] = omega**2 / (4 * np.pi)
    return _of_sum_1(kernel)


FAMILIES: dict[str, Callable[..., Kernel]] = {
    "iso": iso,
    "aniso": aniso,
    "generalised_iso": generalised_iso,
    "generalised_aniso": generalised_aniso,
    "plateau_iso": plateau_iso,
    "plateau_aniso": plateau_aniso,
    "sinc": sinc,
}


def _squared_distance(size: int, sigma_x: float, sigma_y: float, angle: float) -> NDArray[np.float64]:
    offsets = np.arange(size) - size // 2
    y, x = np.meshgrid(offsets, offsets, indexing="ij")
    along, across = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    return (along / sigma_x) ** 2 + (across / sigma_y) ** 2


def _of_sum_1(kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    return kernel / kernel.sum()
