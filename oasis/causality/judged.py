"""What an output is worth: its distance to the dense network's, and to the ground truth by the project's own measure."""

import math
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor

from oasis import video
from oasis.causality.dense import Dense
from oasis.metrics import pixel
from oasis.metrics.frames import Frame
from oasis.metrics.meter import Setting

MEASURE = "psnr@y"


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One output against the dense one, as in `oasis.harms.Harm`; `psnr_y` in dB, None without a ground truth."""

    latent_mse: float
    latent_mse_rel: float
    pixel_mse: float
    psnr_to_dense: float
    psnr_y: float | None


class Judge:
    """Holds outputs of one clip against those of the dense network, and against the ground truth where there is one."""

    def __init__(self, dense: Dense, truth: UInt8[Tensor, "t 3 y x"] | None) -> None:
        self.dense = dense
        self.latents = dense.latents.double()
        self.spread = float(self.latents.var(correction=0))
        self.clip = dense.pixels(dense.latents).double()
        # Of a model that enlarges by another factor than the clips were made smaller by, nothing is known of the truth.
        self.truth = truth if truth is not None and truth.shape == self.clip.shape else None
        self.psnr_y = quality(self.clip, self.truth)

    def judge(self, latents: Float[Tensor, "1 c t4 h8 w8"]) -> Judged:
        """Judge latents of the same clip."""
        clip = self.dense.pixels(latents).double()
        lost, lost_pixels = _mse(latents.double(), self.latents), _mse(clip, self.clip)
        return Judged(
            latent_mse=lost,
            latent_mse_rel=lost / self.spread,
            pixel_mse=lost_pixels,
            psnr_to_dense=-10 * math.log10(lost_pixels) if lost_pixels else math.inf,
            psnr_y=quality(clip, self.truth),
        )


def quality(clip: Float[Tensor, "t 3 y x"], truth: UInt8[Tensor, "t 3 y x"] | None) -> float | None:
    """Return psnr@y of a clip in [0, 1], rounded to 8 bits as it would be written, None without a ground truth."""
    if truth is None:
        return None
    setting = Setting(clip="", frames=len(truth), height=truth.shape[-2], width=truth.shape[-1])
    meter = pixel.make([MEASURE], setting)
    for frame, true in zip(video.from_network(2 * clip - 1), truth, strict=True):
        meter.add(_frame(frame), _frame(true))
    return meter.result()[MEASURE].value


def _frame(pixels: UInt8[Tensor, "3 y x"]) -> Frame:
    return Frame(rearrange(pixels, "c y x -> y x c").contiguous().numpy(force=True))


def _mse(one: Tensor, other: Tensor) -> float:
    return float(torch.mean((one - other).square()))
