"""Perceptual measures through pyiqa (PolyForm-Noncommercial): imported only when one is asked for."""

from collections.abc import Callable

import torch
from jaxtyping import UInt8
from torch import Tensor

WITHOUT_WEIGHTS = ("gmsd", "ms_ssim")
"""pyiqa's names of full-reference measures that need no downloaded weights; GMSD falls, MS-SSIM rises with quality."""


def scorer(name: str) -> Callable[[UInt8[Tensor, "t 3 h w"], UInt8[Tensor, "t 3 h w"]], float]:
    """Return a function of a clip and its reference, RGB 0..255: the mean of pyiqa's measure over frames."""
    if name not in WITHOUT_WEIGHTS:
        raise ValueError(f"measure {name!r} is unknown; allowed: {', '.join(WITHOUT_WEIGHTS)}")
    import pyiqa  # slow to import, and under a licence of its own

    measure = pyiqa.create_metric(name, device="cpu")

    @torch.no_grad()
    def score(frames: Tensor, reference: Tensor) -> float:
        if frames.shape != reference.shape:
            raise ValueError(f"clips of {tuple(frames.shape)} and {tuple(reference.shape)} cannot be compared")
        return float(measure(frames.float() / 255, reference.float() / 255).mean())

    return score
