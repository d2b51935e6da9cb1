"""A decoded frame -> RGB 0..255 or 0..65535, and back: matrices, ranges, bit depths, transparency."""

from dataclasses import dataclass

import numpy as np
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation
from jaxtyping import Float, UInt8, UInt16
from numpy import ndarray

# Full chroma resolution and exact rounding; swscale's defaults are faster and off by several grey levels.
SCALER = Interpolation.BICUBIC | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
SCALER |= Interpolation.ACCURATE_RND | Interpolation.BITEXACT
# By the code of H.273, table 4, that a stream carries.
MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
}
# RGB, unspecified, reserved: of a clip in luma and chroma they say nothing.
SILENT = (0, 2, 3)
# The shares of red and blue in luma, K_R and K_B of the same table.
_SHARES = {
    Colorspace.ITU709: (0.2126, 0.0722),
    Colorspace.FCC: (0.30, 0.11),
    Colorspace.ITU601: (0.299, 0.114),
    Colorspace.SMPTE240M: (0.212, 0.087),
    Colorspace.BT2020: (0.2627, 0.0593),
}


@dataclass(frozen=True, kw_only=True)
class Colour:
    """How a clip stores colour: FFmpeg's pixel format, the matrix (None: RGB or grey), and whether 0..255 is used."""

    pixels: str
    matrix: Colorspace | None
    full_range: bool


def described(pixels: VideoFormat, matrix: int, range_: int, height: int) -> Colour:
    """Return what tags mean; an untagged clip is BT.601 below 720 rows and BT.709 from there on.

    Limited range is the rule, full range that of RGB, grey and FFmpeg's yuvj formats. ValueError if the matrix is not read.
    """
    if pixels.is_rgb or pixels.has_palette:
        return Colour(pixels=pixels.name, matrix=None, full_range=True)
    full = range_ == ColorRange.JPEG or (range_ != ColorRange.MPEG and (_grey(pixels) or pixels.name.startswith("yuvj")))
    if _grey(pixels):
        return Colour(pixels=pixels.name, matrix=None, full_range=full)
    if matrix not in MATRICES and matrix not in SILENT:
        known = ", ".join(f"{code} ({space.name})" for code, space in MATRICES.items())
        raise ValueError(f"the colour matrix with number {matrix} in H.273 is not read; allowed: {known}")
    untagged = Colorspace.ITU601 if height < 720 else Colorspace.ITU709
    return Colour(pixels=pixels.name, matrix=MATRICES.get(matrix, untagged), full_range=full)


def rgb(frame: VideoFrame) -> UInt8[ndarray, "h w 3"]:
    """Return a frame as RGB 0..255.

    8 bits in luma and chroma go through swscale, at most 0.52 levels from the formula of H.273 for every legal code. It is
    off by up to 1.6 levels for deeper samples and ignores the range of grey, so these follow the formula itself, rounded.
    An alpha channel that is opaque everywhere is dropped. ValueError if a pixel is transparent, or pixel format or matrix
    are not read.
    """
    return _rgb(frame, 255)


def rgb16(frame: VideoFrame) -> UInt16[ndarray, "h w 3"]:
    """Return a frame as RGB 0..65535, which keeps samples of up to 16 bits apart.

    Everything but 8 bits in luma and chroma follows the formula of H.273, rounded; those are the levels of `rgb`, times 257.
    RGB of n bits gives `round(level * 65535 / (2**n - 1))`, from which the level comes back. Errors as in `rgb`.
    """
    return _rgb(frame, 65535)


def ycbcr(pixels: UInt16[ndarray, "h w 3"], matrix: Colorspace, bits: int, full_range: bool) -> UInt16[ndarray, "h w 3"]:
    """Return RGB 0..65535 as Y, Cb, Cr of `bits` bits at full chroma resolution.

    The formulas of H.273, clause 8.3, rounded; in 32-bit floating point, whose error of 2**-7 levels at 16 bits is less
    than that of chroma at half resolution.
    """
    red, blue = _SHARES[matrix]
    r, g, b = np.moveaxis(pixels.astype(np.float32) / np.float32(65535), -1, 0)
    luma = np.float32(red) * r + np.float32(1 - red - blue) * g + np.float32(blue) * b
    cb = (b - luma) * np.float32(0.5 / (1 - blue))
    cr = (r - luma) * np.float32(0.5 / (1 - red))
    if full_range:
        luma_scale, chroma_scale, black = 2**bits - 1, 2**bits - 1, 0
    else:
        luma_scale, chroma_scale, black = 219 * 2 ** (bits - 8), 224 * 2 ** (bits - 8), 16 * 2 ** (bits - 8)
    levels = np.stack([luma * luma_scale + black, cb * chroma_scale + 2 ** (bits - 1), cr * chroma_scale + 2 ** (bits - 1)], -1)
    return np.rint(levels.clip(0, 2**bits - 1)).astype(np.uint16)


def _rgb(frame: VideoFrame, top: int) -> ndarray:
    colour = described(frame.format, frame.colorspace, frame.color_range, frame.height)
    if frame.format.name in ("monob", "monow"):
        frame = frame.reformat(format="gray")
    bits = frame.format.components[0].bits
    packed = frame.format.is_rgb and bits > 8 and not frame.format.name.startswith(("gbr", "rgb48", "rgba64"))
    if not 8 <= bits <= 16 or packed or frame.format.name.startswith("xyz"):
        raise ValueError(f"the pixel format {frame.format.name} is not read")
    alpha = frame.format.has_palette or any(component.is_alpha for component in frame.format.components)
    if bits == 8 and not _grey(frame.format):
        samples = _scaled(frame, colour, "rgba" if alpha else "rgb24").to_ndarray()
    elif colour.matrix is None:
        samples = _samples(frame)
    else:
        samples = _samples(_scaled(frame, colour, f"yuv{'a' * alpha}444p{bits}le"))
    if alpha:
        if (samples[..., -1] != 2**bits - 1).any():
            raise ValueError("it has transparent pixels, whose colour depends on what lies behind; write frames without alpha")
        samples = samples[..., :-1]
    if bits > 8 or (colour.matrix is None and not colour.full_range):
        samples = _rounded(samples, colour, bits, top)
    elif top > 255:
        samples = samples.astype(np.uint16) * 257
    return np.ascontiguousarray(samples) if samples.shape[2] == 3 else np.repeat(samples, 3, axis=2)


def _grey(pixels: VideoFormat) -> bool:
    return not pixels.has_palette and sum(not component.is_alpha for component in pixels.components) == 1


def _scaled(frame: VideoFrame, colour: Colour, target: str) -> VideoFrame:
    if colour.matrix is None:
        return frame.reformat(format=target)
    range_ = ColorRange.JPEG if colour.full_range else ColorRange.MPEG
    return frame.reformat(
        format=target,
        src_colorspace=colour.matrix,
        dst_colorspace=colour.matrix,
        src_color_range=range_,
        dst_color_range=ColorRange.JPEG if target.startswith("rgb") else range_,
        interpolation=SCALER,
        threads=1,  # more give the same pixels and a fifth fewer of them per second of CPU
    )


def _samples(frame: VideoFrame) -> UInt8[ndarray, "h w c"] | UInt16[ndarray, "h w c"]:
    """Return what is stored, channels in the order of FFmpeg's components: RGB or YCbCr or grey, then alpha."""
    components = frame.format.components
    kind = np.dtype(np.uint8 if components[0].bits == 8 else ">u2" if frame.format.is_big_endian else "<u2")
    planes = [np.frombuffer(memoryview(plane), kind).reshape(frame.height, -1) for plane in frame.planes]
    if len(planes) == 1:
        return planes[0][:, : frame.width * len(components)].reshape(frame.height, frame.width, len(components))
    return np.stack([planes[component.plane][:, : frame.width] for component in components], axis=-1)


def _rounded(samples: ndarray, colour: Colour, bits: int, top: int) -> ndarray:
    """Return RGB or grey 0..top by the formulas of H.273, clause 8.3."""
    if colour.full_range:
        levels = samples / (2**bits - 1)
        middle = 2 ** (bits - 1) / (2**bits - 1)
        chroma_levels = 1.0
    else:
        levels = (samples / 2 ** (bits - 8) - 16) / 219
        middle = (128 - 16) / 219
        chroma_levels = 219 / 224
    if colour.matrix is not None:
        levels = _unmixed(levels[..., 0], (levels[..., 1:] - middle) * chroma_levels, *_SHARES[colour.matrix])
    return np.rint(top * levels.clip(0, 1)).astype(np.uint8 if top == 255 else np.uint16)


def _unmixed(luma: Float[ndarray, "h w"], chroma: Float[ndarray, "h w 2"], red: float, blue: float) -> Float[ndarray, "h w 3"]:
    """Return RGB from luma in 0..1 and chroma (Cb, Cr) in -0.5..0.5, given the shares of red and blue in luma."""
    r = luma + 2 * (1 - red) * chroma[..., 1]
    b = luma + 2 * (1 - blue) * chroma[..., 0]
    return np.stack([r, (luma - red * r - blue * b) / (1 - red - blue), b], axis=-1)
