"""Pure operations on clips: float32 numpy "t h w 3" in 0..255, randomness passed in as a numpy Generator."""

import io
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FILTERS = {
    "bicubic": Image.Resampling.BICUBIC,
    "area": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
}
_ROWS = 16  # at a time: few enough to stay in a processor's cache while tap after tap is added


def blur(clip: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Blur rows and columns of "t h w c" with a Gaussian of `sigma` pixels, cut at 3 sigma, borders replicated."""
    radius = math.ceil(3 * sigma)
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2) if radius else np.ones(1)
    taps = (taps / taps.sum()).astype(np.float32)
    frames, height, width, _ = clip.shape
    blurred = np.empty_like(clip)
    for frame in range(frames):
        tall = np.pad(clip[frame], ((radius, radius), (0, 0), (0, 0)), mode="edge")
        for top in range(0, height, _ROWS):
            count = min(_ROWS, height - top)
            rows = _weighted([tall[top + start : top + start + count] for start in range(len(taps))], taps)
            wide = np.pad(rows, ((0, 0), (radius, radius), (0, 0)), mode="edge")
            blurred[frame, top : top + count] = _weighted([wide[:, start : start + width] for start in range(len(taps))], taps)
    return blurred


def downscale(clip: NDArray[np.float32], scale: int, resize: str) -> NDArray[np.float32]:
    """Shrink "t h w c" by the whole number `scale` with an antialiased filter of `FILTERS`.

    Pixel centres are aligned as areas (output y covers input rows scale*y to scale*y + scale - 1), as MATLAB's imresize
    and its bicubic a = -0.5 do.
    """
    frames, height, width, channels = clip.shape
    if height % scale or width % scale:
        raise ValueError(f"a clip of {width}x{height} pixels cannot be reduced by {scale}; both sides must be multiples of it")
    small = np.empty((frames, height // scale, width // scale, channels), np.float32)
    for frame in range(frames):
        for channel in range(channels):
            plane = Image.fromarray(np.ascontiguousarray(clip[frame, :, :, channel]))
            small[frame, :, :, channel] = plane.resize((width // scale, height // scale), FILTERS[resize])
    return small


def noise(clip: NDArray[np.float32], sigma: float, generator: np.random.Generator) -> NDArray[np.float32]:
    """Add Gaussian noise of `sigma` grey levels, fresh for every frame, pixel and channel."""
    return clip + np.float32(sigma) * generator.standard_normal(clip.shape, dtype=np.float32)


def quantise(clip: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Clamp to 0..255 and round to whole grey levels."""
    levels = np.clip(clip, 0, 255)
    return np.rint(levels, out=levels).astype(np.uint8)


def jpeg(clip: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Compress every frame as a JPEG (4:2:0) of `quality` 1..95 and decode it again."""
    decoded = np.empty_like(clip)
    for frame, pixels in enumerate(clip):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
        decoded[frame] = np.asarray(Image.open(buffer))
    return decoded


def _weighted(parts: list[NDArray[np.float32]], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the weighted sum, added in the order of the parts: another order would round differently."""
    total, share = parts[0] * weights[0], np.empty_like(parts[0])
    for part, weight in zip(parts[1:], weights[1:], strict=True):
        np.multiply(part, weight, out=share)
        np.add(total, share, out=total)
    return total
