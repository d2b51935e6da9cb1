"""A clip on disk <-> a tensor; the only place for codecs, colour matrices, ranges and channel order.

`reading` is what others use: it takes frames from `containers` (files) or `folders` (of PNG) and their colours from
`colour`. `matroska` and `ffv1` check the checksums that FFmpeg does not. `source` and `target` are what a long run uses:
any video in, with its times, tags and other streams (`orientation`, `carried`), and the same out (`encoders`, `segments`,
`joining`).
"""

import torch
from av.video.reformatter import Colorspace
from jaxtyping import Float, UInt8
from torch import Tensor

from oasis.video.colour import Colour
from oasis.video.reading import FPS, Clip, Info, arrays, count, info, read, stream
from oasis.video.source import Frame, Source, Tags, describe
from oasis.video.target import Target, join, segment_frames, write_segment
from oasis.video.writing import write

__all__ = [
    "FPS",
    "SUFFIXES",
    "Clip",
    "Colorspace",
    "Colour",
    "Frame",
    "Info",
    "Source",
    "Tags",
    "Target",
    "arrays",
    "count",
    "describe",
    "from_network",
    "info",
    "join",
    "read",
    "segment_frames",
    "stream",
    "to_network",
    "write",
    "write_segment",
]

SUFFIXES = (".264", ".avi", ".h264", ".m4v", ".mkv", ".mov", ".mp4", ".webm")


def to_network(frames: UInt8[Tensor, "t 3 h w"]) -> Float[Tensor, "t 3 h w"]:
    """Map 0..255 to float32 in [-1, 1]."""
    return frames.to(torch.float32) / 127.5 - 1


def from_network(frames: Float[Tensor, "t 3 h w"]) -> UInt8[Tensor, "t 3 h w"]:
    """Map [-1, 1] to 0..255, clamped and rounded; ValueError if a number is not finite, which no pixel could show."""
    if not frames.isfinite().all():
        raise ValueError("frames hold NaN or infinity, which are no colours; a network in half precision may overflow")
    return ((frames.to(torch.float32) + 1) * 127.5).clamp(0, 255).round().to(torch.uint8)
