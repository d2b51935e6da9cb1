"""A frame and the views of it that several measures share, each computed once."""

from functools import cached_property

import cv2
import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float32, UInt8
from numpy import ndarray
from torch import Tensor

FULL = np.array([0.299, 0.587, 0.114])
LIMITED = np.array([65.481, 128.553, 24.966]) / 255
"""BT.601's weights of R, G and B in luma of full and of limited range, the second to be added to 16."""


class Frame:
    """One decoded frame: `rgb` uint8 "h w 3"."""

    def __init__(self, rgb: UInt8[ndarray, "h w 3"]) -> None:
        self.rgb = rgb

    @cached_property
    def y(self) -> Float32[ndarray, "h w"]:
        """Luma of BT.601 in limited range, 16..235, not rounded, as MATLAB's rgb2ycbcr and BasicSR compute it."""
        return cv2.transform(self.rgb.astype(np.float32), np.array([[*LIMITED, 16]]))

    @cached_property
    def y_full(self) -> Float32[ndarray, "h w"]:
        """Luma of BT.601 in full range, 0..255, not rounded: what pyiqa calls Y."""
        return cv2.transform(self.rgb.astype(np.float32), FULL[None])

    @cached_property
    def grey(self) -> UInt8[ndarray, "h w"]:
        """OpenCV's RGB2GRAY, rounded: what flow algorithms take."""
        return cv2.cvtColor(self.rgb, cv2.COLOR_RGB2GRAY)

    @cached_property
    def tensor(self) -> Float32[Tensor, "1 3 h w"]:
        """RGB in [0, 1], float32: what networks take."""
        return rearrange(torch.from_numpy(self.rgb), "h w c -> 1 c h w").to(torch.float32) / 255
