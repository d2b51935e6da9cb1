"""Upscale clips of any length and size in bounded memory: chunks of frames, tiles of pixels, one step each."""

from oasis.tiling import Tiling, starts
from oasis.upscale.frames import upscale

__all__ = ["Tiling", "starts", "upscale"]
