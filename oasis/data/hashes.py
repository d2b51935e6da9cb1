"""What a clip is, whatever container it lies in: its size and a hash of its decoded pixels."""

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from einops import rearrange
from jaxtyping import UInt8
from torch import Tensor


class Content(NamedTuple):
    """Sizes of a clip in pixels, and the SHA-256 of its pixels as 64 hexadecimal digits."""

    frames: int
    height: int
    width: int
    sha256: str


def content(frames: Iterable[UInt8[Tensor, "3 h w"]]) -> Content:
    r"""Return what a clip, RGB 0..255, is; frames are taken one by one.

    The hash is that of all pixels, in the order "t h w c", one byte each, followed by the line "t h w\n" in ASCII. So a
    lossless copy has the hash of its original. ValueError for a clip without frames, or whose frames differ in size.
    """
    digest = hashlib.sha256()
    number, size = 0, None
    for frame in frames:
        size = size or frame.shape
        if frame.shape != size:
            raise ValueError(f"frame {number} has {frame.shape[2]}x{frame.shape[1]} pixels, those before {size[2]}x{size[1]}")
        digest.update(rearrange(frame, "c h w -> h w c").contiguous().numpy().data)
        number += 1
    if size is None:
        raise ValueError("a clip without frames has no content to hash")
    digest.update(f"{number} {size[1]} {size[2]}\n".encode("ascii"))
    return Content(number, size[1], size[2], digest.hexdigest())


def rgb_sha256(frames: Iterable[UInt8[Tensor, "3 h w"]]) -> str:
    """Return the hash of `content`."""
    return content(frames).sha256
