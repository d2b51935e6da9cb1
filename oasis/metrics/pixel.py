"""Measures that compare pixels; arithmetic only."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor


def luma(frames: UInt8[Tensor, "t 3 h w"]) -> Float[Tensor, "t h w"]:
    """Return Y of BT.601 in limited range, 16..235, as MATLAB's rgb2ycbcr and BasicSR compute it."""
    weights = torch.tensor([65.481, 128.553, 24.966], dtype=torch.float64, device=frames.device)
    return 16 + torch.einsum("tchw,c->thw", frames.double() / 255, weights)


def psnr_y(frames: UInt8[Tensor, "t 3 h w"], reference: UInt8[Tensor, "t 3 h w"]) -> float:
    """Return PSNR of limited-range luma in dB: per frame against a peak of 255, mean over frames, no border cut."""
    if frames.shape != reference.shape:
        raise ValueError(f"clips of {tuple(frames.shape)} and {tuple(reference.shape)} cannot be compared")
    error = (luma(frames) - luma(reference)).square().mean(dim=(1, 2))
    return float((10 * torch.log10(255**2 / error)).mean())
