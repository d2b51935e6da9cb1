"""Gaussian and Poisson noise on one frame, float32 "h w 3" in 0..255, from a numpy Generator."""

from typing import Literal

import cv2
import numpy as np
from jaxtyping import Float32
from numpy import ndarray

Frame = Float32[ndarray, "h w 3"]
Domain = Literal["unit", "byte"]


def gaussian(frame: Frame, sigma: float, *, grey: bool, generator: np.random.Generator) -> Frame:
    """Add Gaussian noise of `sigma` grey levels; `grey` noise is the same in all channels."""
    height, width, channels = frame.shape
    field = generator.standard_normal((height, width, 1 if grey else channels), dtype=np.float32)
    field *= np.float32(sigma)
    return frame + field


def poisson(frame: Frame, scale: float, *, grey: bool, domain: Domain, generator: np.random.Generator) -> Frame:
    """Add `scale` times the deviation of Poisson counts from their means, which are the rounded grey levels; not clamped.

    With L the number of distinct levels in the frame, rounded up to a power of two (mostly 256), a level v counts L * v / 255
    photons in the domain "unit" (Real-ESRGAN, mmediting 0.x) and L * v in "byte" (mmagic 1.x, MGLD-VSR, DOVE), where noise is
    therefore 16 times weaker: at v = 127 and scale 1 its standard deviation is 11.3 against 0.70. `grey` noise is that of the
    frame's luma, the same in all channels.
    """
    seen = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)[..., None] if grey else frame
    levels = np.rint(np.clip(seen, 0, 255)).astype(np.uint8)
    distinct = np.count_nonzero(np.bincount(levels.ravel(), minlength=256))
    photons = 2.0 ** np.ceil(np.log2(distinct)) / (255 if domain == "unit" else 1)
    counts = generator.poisson(levels * photons)
    return frame + np.float32(scale) * (counts / photons - levels).astype(np.float32)
