"""What a video is written as, the encoder set to that, and RGB as the frames that it takes."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from jaxtyping import UInt8, UInt16
from numpy import ndarray

from oasis.video.colour import MATRICES, SCALER, ycbcr
from oasis.video.source import Tags

# x264's bytes depend on the number of its threads, so that this machine's cores must not choose it.
_THREADS = 4


@dataclass(frozen=True, kw_only=True)
class Target:
    """What is written: `suffix` names the container ("" for a folder of PNG), `codec` FFmpeg's encoder, `pixels` its format.

    `bits` is the depth of the stored samples; what frames hold beyond it is rounded. `crf` is the rate factor of x264 and
    x265, None for others. `lossless` says whether RGB of that depth comes back as it was.
    """

    suffix: str
    codec: str
    pixels: str
    bits: int
    crf: int | None
    lossless: bool
    tags: Tags
    height: int
    width: int
    fps: Fraction
    pixel_aspect: Fraction


def options(target: Target) -> dict[str, str]:
    """Return the options of a target's encoder.

    No frame refers to a later one: so packets come in the order of display, and segments join without a shift in time.
    """
    match target.codec:
        case "libx264":
            return {"crf": str(target.crf), "bf": "0"}
        case "libx264rgb":
            return {"qp": "0", "bf": "0"}
        case "libx265":
            rate = "lossless=1" if target.lossless else f"crf={target.crf}"
            # One thread: the output of several depends on the number of cores.
            return {"x265-params": f"{rate}:bframes=0:open-gop=0:frame-threads=1:pools=none:log-level=none"}
        case "prores_ks":
            return {"profile": "4444" if "444" in target.pixels else "hq", "vendor": "apl0"}
        case "ffv1":
            # By default it cuts a picture in four, and cannot where there is one column.
            return {"level": "3", "slicecrc": "1"} | ({"slices": "1"} if target.width == 1 else {})
        case _:
            return {"pred": "mixed"}


def configure(context: VideoCodecContext, target: Target) -> None:
    """Set an encoder that is not yet open to a target, all but its options."""
    context.height, context.width, context.pix_fmt = target.height, target.width, target.pixels
    context.colorspace, context.color_primaries, context.color_trc, context.color_range = target.tags
    context.sample_aspect_ratio = target.pixel_aspect
    context.thread_count = _THREADS


def context(target: Target) -> VideoCodecContext:
    """Return the encoder of a target, not yet open."""
    encoder = CodecContext.create(target.codec, "w")
    assert isinstance(encoder, VideoCodecContext)
    configure(encoder, target)
    encoder.options = options(target)
    encoder.time_base = 1 / rate(target)
    encoder.framerate = rate(target)
    return encoder


def rate(target: Target) -> Fraction:
    """Return the frames per second that an encoder plans with, in numbers that it takes; 1000 at most, as ticks are 1 ms."""
    return min(max(target.fps.limit_denominator(1001), Fraction(1, 1001)), Fraction(1000))


def stored(pixels: UInt8[ndarray, "h w 3"] | UInt16[ndarray, "h w 3"], target: Target) -> VideoFrame:
    """Return RGB 0..255 or 0..65535 as a frame of the target's format.

    RGB is rounded to the target's depth and else kept. 8 bits of luma and chroma in limited range come from swscale, at
    most 0.57 levels off; others, of which it is up to 1.6 off, from the formula of H.273 at full chroma resolution, which
    swscale then halves where the format asks for it.
    """
    rgb = VideoFormat(target.pixels).is_rgb
    full = target.tags.range == ColorRange.JPEG
    if target.bits == 8 and (rgb or not full):
        samples = pixels if pixels.dtype == np.uint8 else np.rint(pixels / np.float32(257)).astype(np.uint8)
        frame = _scaled(VideoFrame.from_ndarray(samples, format="rgb24"), target, ColorRange.JPEG)
    else:
        samples = pixels if pixels.dtype == np.uint16 else pixels.astype(np.uint16) * np.uint16(257)
        if rgb:
            levels = samples if target.bits == 16 else np.rint(samples * ((2**target.bits - 1) / 65535)).astype(np.uint16)
            frame = VideoFrame.from_ndarray(levels, format=target.pixels)
        else:
            levels = ycbcr(samples, MATRICES[target.tags.matrix], target.bits, full)
            frame = _scaled(_planar(levels, target.bits), target, ColorRange(target.tags.range))
    frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range = target.tags
    return frame


def _scaled(frame: VideoFrame, target: Target, range_: ColorRange) -> VideoFrame:
    """Return a frame in the target's pixel format; `range_` is its own."""
    if frame.format.name == target.pixels:
        return frame
    if VideoFormat(target.pixels).is_rgb:
        return frame.reformat(format=target.pixels)
    matrix: Colorspace = MATRICES[target.tags.matrix]
    return frame.reformat(
        format=target.pixels,
        src_colorspace=matrix,
        dst_colorspace=matrix,
        src_color_range=range_,
        dst_color_range=ColorRange(target.tags.range),
        interpolation=SCALER,
        threads=1,
    )


def _planar(levels: UInt16[ndarray, "h w 3"], bits: int) -> VideoFrame:
    height, width, _ = levels.shape
    frame = VideoFrame(width, height, "yuv444p" if bits == 8 else f"yuv444p{bits}le")
    kind = np.dtype(np.uint8 if bits == 8 else "<u2")
    for number, plane in enumerate(frame.planes):
        rows = np.zeros((height, plane.line_size // kind.itemsize), kind)
        rows[:, :width] = levels[..., number]
        plane.update(rows.tobytes())
    return frame
