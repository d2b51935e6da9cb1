"""What compression does to frames, float32 "h w 3" in 0..255: JPEG frame by frame, and a video codec over the clip."""

import io
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Literal

import av
import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation
from jaxtyping import Float32, UInt8
from numpy import ndarray

from oasis.degrade import ops

Frame = Float32[ndarray, "h w 3"]
Codec = Literal["libx264", "mpeg4"]
_SCALER = Interpolation.BICUBIC | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
_SCALER |= Interpolation.ACCURATE_RND | Interpolation.BITEXACT
# With its AVX-512 code x264 (core 165) gave other bytes in 16 of 400 encodings of one small clip; without it in none.
_OPTIONS: dict[Codec, dict[str, str]] = {"libx264": {"x264-params": "asm=SSE4.2"}, "mpeg4": {}}


def jpeg(frame: Frame, quality: int, *, swapped: bool = False) -> Frame:
    """Compress a frame, clamped and rounded, as a JPEG (4:2:0) of `quality` 0..100 and decode it again.

    `swapped` hands red to the encoder as blue and blue as red, as mmediting, mmagic and DOVE do by oversight.
    """
    pixels = ops.quantise(frame)
    bgr = pixels if swapped else cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert decoded is not None
    return (decoded if swapped else cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)).astype(np.float32)


def video(frames: Iterable[Frame], codec: Codec, bitrate: int, *, wrap: bool = False) -> Iterator[Frame]:
    """Encode frames as yuv420p (BT.601) at one frame per second and `bitrate` bit/s, that is, bits per frame, and decode them.

    As many frames come out as go in. All take the size of the first: others are resized to it (bicubic), where FFmpeg would
    do it silently; odd sides grow by one reflected pixel that is cut off again. All frames are encoded before the first
    comes out; what is held is the encoder's look-ahead (tens of frames, 4:2:0) and the compressed clip. It encodes in one
    thread, so that bytes do not depend on the number of cores.

    Values are clamped and rounded, unless `wrap`: then fractions are cut off and what is below 0 or above 255 comes back in at
    the other end, specks of black and white, as in RealBasicVSR, mmagic, MGLD-VSR and DOVE.
    """
    buffer = io.BytesIO()
    pixels = (_as_wrapped(frame) if wrap else ops.quantise(frame) for frame in frames)
    encoded, height, width = _encode(buffer, pixels, codec, bitrate)
    buffer.seek(0)
    decoded = 0
    with av.open(buffer, "r", "mp4") as container:
        for frame in container.decode(video=0):
            decoded += 1
            yield _reformatted(frame, "rgb24").to_ndarray()[:height, :width].astype(np.float32)
    assert decoded == encoded, f"{codec} gave back {decoded} of {encoded} frames"


def _encode(buffer: io.BytesIO, frames: Iterable[UInt8[ndarray, "h w 3"]], codec: Codec, bitrate: int) -> tuple[int, int, int]:
    """Write an MP4 file; return its number of frames, and their height and width before they were made even."""
    number = height = width = 0
    with av.open(buffer, "w", "mp4") as container:
        for frame in frames:
            if not number:
                height, width, _ = frame.shape
                stream = container.add_stream(codec, rate=1, options=_OPTIONS[codec])
                stream.height, stream.width = height + height % 2, width + width % 2
                stream.pix_fmt, stream.bit_rate = "yuv420p", bitrate
                stream.codec_context.thread_count = 1
            if frame.shape != (height, width, 3):
                frame = cv2.resize(frame, (width, height), interpolation=cv2.INTER_CUBIC)
            even = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="reflect")
            picture = _reformatted(VideoFrame.from_ndarray(even, format="rgb24"), "yuv420p")
            picture.pts, picture.time_base = number, Fraction(1)
            container.mux(stream.encode(picture))
            number += 1
        container.mux(stream.encode(None))
    return number, height, width


def _reformatted(frame: VideoFrame, pixels: str) -> VideoFrame:
    rgb, yuv = ColorRange.JPEG, ColorRange.MPEG
    return frame.reformat(
        format=pixels,
        src_colorspace=Colorspace.ITU601,
        dst_colorspace=Colorspace.ITU601,
        src_color_range=yuv if pixels == "rgb24" else rgb,
        dst_color_range=rgb if pixels == "rgb24" else yuv,
        interpolation=_SCALER,
    )


def _as_wrapped(frame: Frame) -> UInt8[ndarray, "h w 3"]:
    return frame.astype(np.int64).astype(np.uint8)
