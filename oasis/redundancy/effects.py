"""What a change inside the network does to its output: the one way in which skips and constants are judged."""

from typing import NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from oasis import video
from oasis.metrics.pixel import psnr_y
from oasis.model.oasis import Oasis
from oasis.model.unshuffle import crop_clip
from oasis.probe import as_input


class Output(NamedTuple):
    """The latents of a clip, and the clip of them in [-1, 1], not yet rounded to levels."""

    latents: Float[Tensor, "1 c t4 h8 w8"]
    clip: Float[Tensor, "t 3 y x"]


class Effect(NamedTuple):
    """`latent_rel`: squared error over variance; `psnr_to_whole`, dB; `quality`: change of PSNR-Y to the ground truth, dB."""

    latent_rel: float
    psnr_to_whole: float
    quality: float | None


@torch.inference_mode()
def output(model: Oasis, frames: UInt8[Tensor, "t 3 h w"]) -> Output:
    """Upscale a clip as the network is now."""
    lq = as_input(model, frames)
    latents = model.latents(lq)
    clip = crop_clip(model.decode(latents, lq), (len(frames), *frames.shape[-2:]), model.config.scale)
    return Output(latents, clip[0].transpose(0, 1).clamp(-1, 1))


def effect(whole: Output, changed: Output, truth: UInt8[Tensor, "t 3 y x"] | None) -> Effect:
    """Hold a changed network's output against that of the whole network; equal clips have a PSNR of infinity."""
    difference = (changed.latents - whole.latents).double().square().mean()
    error = (changed.clip.double() - whole.clip.double()).square().mean()
    quality = None if truth is None else _quality(changed, truth) - _quality(whole, truth)
    return Effect(
        latent_rel=float(difference / whole.latents.double().var()),
        psnr_to_whole=float(10 * torch.log10(2**2 / error)),
        quality=quality,
    )


def _quality(found: Output, truth: UInt8[Tensor, "t 3 y x"]) -> float:
    return psnr_y(video.from_network(found.clip).cpu(), truth)
