"""Stored levels <-> numbers of the network, and a look at whether what it gave is a picture."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor

from oasis.video.source import Frame

_FLAT, _STRUCTURED = 0.5, 4.0  # standard deviations in levels of 255


def as_network(pixels: ndarray) -> Float[Tensor, "3 h w"]:
    """Map "h w 3" of 0..255 (uint8) or 0..65535 (uint16) to float32 in [-1, 1]."""
    half = np.iinfo(pixels.dtype).max / 2
    return rearrange(torch.from_numpy(pixels.astype(np.float32)), "h w c -> c h w") / half - 1


def as_levels(frame: Float[Tensor, "3 h w"], bits: int) -> ndarray:
    """Map [-1, 1], clamped, to the nearest of 0..255 (8 bits, uint8) or 0..65535 (more, uint16), "h w 3"."""
    most, kind = (255, np.uint8) if bits == 8 else (65535, np.uint16)
    levels = ((frame.to(torch.float32) + 1) * (most / 2)).clamp(0, most).round()
    return np.ascontiguousarray(rearrange(levels, "c h w -> h w c").cpu().numpy().astype(kind))


def as_bytes(frame: Frame) -> UInt8[ndarray, "h w 3"]:
    """Return a frame in 0..255, as far as its cuts are concerned."""
    return frame.pixels if frame.pixels.dtype == np.uint8 else (frame.pixels >> 8).astype(np.uint8)


def reduced(frame: Float[Tensor, "3 y x"], factor: int) -> Float[Tensor, "3 h w"]:
    """Shrink a frame by a whole number, antialiased bicubic."""
    if factor == 1:
        return frame
    size = (frame.shape[1] // factor, frame.shape[2] // factor)
    return F.interpolate(frame[None], size=size, mode="bicubic", antialias=True)[0]


def check(output: Float[Tensor, "1 3 t y x"], lq: Float[Tensor, "1 3 t h w"], path: Path, span: range) -> None:
    """ValueError, with the frame in it, if a number is not finite, or a frame of one colour came of one with structure."""
    finite = output.isfinite().flatten(3).all(dim=3)[0].all(dim=0)
    spread, before = ((clip[0].float().flatten(2).std(dim=2, correction=0).amax(dim=0) * 127.5).cpu() for clip in (output, lq))
    for number, good, now, was in zip(span, finite.tolist(), spread.tolist(), before.tolist(), strict=True):
        if not good:
            raise ValueError(
                f"{path}: frame {number}: the network gave NaN or infinity; half precision may overflow, float32 does not"
            )
        if now < _FLAT and was > _STRUCTURED:
            raise ValueError(f"{path}: frame {number}: the network gave a picture of one colour (its input has structure)")
