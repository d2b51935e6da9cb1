"""Optical flow of a pair of frames: RAFT (torchvision's network), and OpenCV's DIS and Farneback, which need no weights."""

import re
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Float32, UInt8
from numpy import ndarray
from torch import Tensor, nn
from torch.nn import functional

from oasis import weights
from oasis.metrics.framewise import exact
from oasis.metrics.loading import fill, load, readable

RAFT_SIDE = 128
OPENCV_SIDE = 32
TORCHVISION = "raft_large_torchvision"
THINGS = "raft_things_official"


@dataclass(frozen=True, kw_only=True)
class Raft:
    """RAFT with what differs between the scripts that run it.

    `updates` is the number of refinements; `sees` the range to which images in [0, 1] are mapped: RAFT was trained on
    [-1, 1]. `network` takes two images and returns its flow after every update.
    """

    network: nn.Module
    updates: int = 20
    sees: tuple[float, float] = (-1.0, 1.0)
    device: str = "cpu"

    def __call__(self, first: Float[Tensor, "1 3 h w"], second: Float[Tensor, "1 3 h w"]) -> Float32[ndarray, "h w 2"]:
        """Return the flow (dx, dy) in pixels of `first` to `second`, RGB in [0, 1].

        Both are padded to multiples of 8 by repeating their borders, half on either side ("sintel" padding, the rest at the
        right and bottom), and the flow is cut back. ValueError if a side is below 128 pixels.
        """
        height, width = first.shape[-2:]
        check_side("RAFT", RAFT_SIDE, height, width)
        low, high = self.sees
        images = [pad(image.to(self.device) * (high - low) + low) for image in (first, second)]
        with exact():
            flow = self.network(*images, num_flow_updates=self.updates)[-1]
        top, left = (images[0].shape[-2] - height) // 2, (images[0].shape[-1] - width) // 2
        return rearrange(flow[0, :, top : top + height, left : left + width], "c h w -> h w c").contiguous().cpu().numpy()


def raft(name: str, device: str) -> nn.Module:
    """Return torchvision's RAFT-large with the weights TORCHVISION or THINGS, in eval mode.

    `weights.Missing` if they are not on this machine, ValueError if the file holds another network's.
    """
    from torchvision.models.optical_flow import raft_large

    path = weights.find(name)
    with torch.device("meta"):
        network = raft_large(weights=None, progress=False)
    with readable(path, "RAFT-large"):
        state = load(path)
        if name == THINGS:
            state = {new: tensor for old, tensor in state.items() if (new := torchvision_name(old))}
        return fill(network, state).to(device)


def torchvision_name(name: str) -> str | None:
    """Return torchvision's name of an entry of raft-*.pth (princeton-vl/RAFT@2888e15); None for what is stored twice.

    The norm of a residual block's shortcut is both `norm3` and `downsample.1` there.
    """
    if ".norm3." in name:
        return None
    for pattern, replacement in _RENAMED:
        name = re.sub(pattern, replacement, name)
    return name


_RENAMED = (
    (r"^module\.", ""),
    (r"^fnet\.", "feature_encoder."),
    (r"^cnet\.", "context_encoder."),
    (r"^(\w+_encoder)\.conv1\.", r"\1.convnormrelu.0."),
    (r"^(\w+_encoder)\.norm1\.", r"\1.convnormrelu.1."),
    (r"^(\w+_encoder)\.conv2\.", r"\1.conv."),
    (r"\.(layer\d\.\d)\.conv(\d)\.", r".\1.convnormrelu\2.0."),
    (r"\.(layer\d\.\d)\.norm(\d)\.", r".\1.convnormrelu\2.1."),
    (r"\.encoder\.convc(\d)\.", r".motion_encoder.convcorr\1.0."),
    (r"\.encoder\.convf(\d)\.", r".motion_encoder.convflow\1.0."),
    (r"\.encoder\.conv\.", ".motion_encoder.conv.0."),
    (r"\.gru\.conv([zrq])\.", r".recurrent_block.convgru1.conv\1."),
    (r"\.gru\.conv([zrq])(\d)\.", r".recurrent_block.convgru\2.conv\1."),
    (r"^update_block\.mask\.0\.", "mask_predictor.convrelu.0."),
    (r"^update_block\.mask\.2\.", "mask_predictor.conv."),
)


def pad(image: Float[Tensor, "1 c h w"]) -> Float[Tensor, "1 c y x"]:
    """Repeat the borders up to multiples of 8: half on either side, an odd pixel at the bottom or right."""
    below, right = (-image.shape[-2] % 8, -image.shape[-1] % 8)
    return functional.pad(image, (right // 2, right - right // 2, below // 2, below - below // 2), mode="replicate")


def dis(first: UInt8[ndarray, "h w"], second: UInt8[ndarray, "h w"]) -> Float32[ndarray, "h w 2"]:
    """Return OpenCV's DIS flow (dx, dy) in pixels of two grey images, preset medium; ValueError if a side is below 32."""
    check_side("OpenCV's flow", OPENCV_SIDE, *first.shape)
    return _float32(cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(first, second, None))  # type: ignore[call-overload]


def farneback(first: UInt8[ndarray, "h w"], second: UInt8[ndarray, "h w"]) -> Float32[ndarray, "h w 2"]:
    """Return Farneback's flow (dx, dy) in pixels of two grey images, with the parameters of thunil/TecoGAN@bc747a4.

    ValueError if a side is below 32 pixels.
    """
    check_side("OpenCV's flow", OPENCV_SIDE, *first.shape)
    pyramid, levels, window, iterations, neighbours, sigma, flags = 0.5, 3, 15, 3, 5, 1.2, 0
    return _float32(
        cv2.calcOpticalFlowFarneback(first, second, None, pyramid, levels, window, iterations, neighbours, sigma, flags)  # type: ignore[call-overload]
    )


def check_side(what: str, least: int, height: int, width: int) -> None:
    """Raise ValueError if frames are too small; below 32 pixels OpenCV's DIS ends the process or returns no numbers."""
    if min(height, width) < least:
        raise ValueError(f"{what} needs at least {least}x{least} pixels, got {height}x{width}")


def _float32(flow: ndarray) -> Float32[ndarray, "h w 2"]:
    return np.asarray(flow, dtype=np.float32)
