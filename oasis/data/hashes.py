"""What a clip is, whatever container it lies in: its size and a hash of its decoded pixels."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from einops import rearrange
from jaxtyping import UInt8
from numpy import ndarray
from torch import Tensor


class Content(NamedTuple):
    """Sizes of a clip in pixels, and the SHA-256 of its pixels as 64 hexadecimal digits."""

    frames: int
    height: int
    width: int
    sha256: str


class Hashed:
    r"""Frames "h w 3" as they pass, and the content of all that have passed.

    The hash is that of all pixels, in the order "t h w c", one byte each, followed by the line "t h w\n" in ASCII. So a
    lossless copy has the hash of its original.
    """

    def __init__(self, frames: Iterable[UInt8[ndarray, "h w 3"]]) -> None:
        self._frames, self._digest, self._count, self._size = frames, hashlib.sha256(), 0, (0, 0)

    def __iter__(self) -> Iterator[UInt8[ndarray, "h w 3"]]:
        """Yield the frames; ValueError if one is of another size than the first."""
        for frame in self._frames:
            size = frame.shape[0], frame.shape[1]
            if self._count and size != self._size:
                raise ValueError(
                    f"frame {self._count} has {size[1]}x{size[0]} pixels, those before {self._size[1]}x{self._size[0]}"
                )
            self._digest.update(np.ascontiguousarray(frame).data)
            self._count, self._size = self._count + 1, size
            yield frame

    def content(self) -> Content:
        """Return what has passed; ValueError if nothing has."""
        if not self._count:
            raise ValueError("a clip without frames has no content to hash")
        digest = self._digest.copy()
        digest.update(f"{self._count} {self._size[0]} {self._size[1]}\n".encode("ascii"))
        return Content(self._count, *self._size, digest.hexdigest())


def content(frames: Iterable[UInt8[Tensor, "3 h w"]]) -> Content:
    """Return what a clip, RGB 0..255, is, as `Hashed` says; frames are taken one by one."""
    hashed = Hashed(rearrange(frame, "c h w -> h w c").numpy() for frame in frames)
    for _ in hashed:
        pass
    return hashed.content()


def rgb_sha256(frames: Iterable[UInt8[Tensor, "3 h w"]]) -> str:
    """Return the hash of `content`."""
    return content(frames).sha256
