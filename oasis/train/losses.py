"""Training losses; each maps a prediction and its target to one number."""

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from oasis.metrics.warping import sample
from oasis.train.motion import Motion


def latent_loss(
    predicted: Float[Tensor, "b c t h w"], target: Float[Tensor, "b c t h w"], weight: Float[Tensor, "c"]
) -> Float[Tensor, ""]:
    """Mean squared error of latents, each channel weighted, weights scaled to mean 1."""
    error = (predicted - target).square().mean(dim=(0, 2, 3, 4))
    return (error * weight / weight.mean()).mean()


def charbonnier(predicted: Float[Tensor, "..."], target: Float[Tensor, "..."], eps: float = 1e-3) -> Float[Tensor, ""]:
    """Mean of sqrt(error^2 + eps^2): squared error near zero, absolute error far from it."""
    return ((predicted - target).square() + eps * eps).sqrt().mean()


def gradient_loss(predicted: Float[Tensor, "b 3 t h w"], target: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, ""]:
    """Charbonnier error of horizontal and vertical differences: edges count, brightness does not."""
    return charbonnier(predicted.diff(dim=-1), target.diff(dim=-1)) + charbonnier(predicted.diff(dim=-2), target.diff(dim=-2))


def frame_difference_loss(predicted: Float[Tensor, "b 3 t h w"], target: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, ""]:
    """Charbonnier error of differences between neighbouring frames: flicker counts, motion does not."""
    if predicted.shape[2] == 1:
        return torch.zeros((), device=predicted.device)
    return charbonnier(predicted.diff(dim=2), target.diff(dim=2))


def warped_difference_loss(
    predicted: Float[Tensor, "b 3 t h w"], target: Float[Tensor, "b 3 t h w"], motion: Motion, eps: float = 1e-3
) -> Float[Tensor, ""]:
    """Charbonnier error of differences along the target's motion ("b t-1 h w"): points must change as the target's do.

    The difference of a clip is frame t less frame t+1, sampled where the points of frame t went; points that the next frame
    does not show or that leave the frame do not count, and with none left the loss is 0. The warping loss of Lai et al. 2018
    (Learning Blind Video Temporal Consistency), which asks for differences of 0, less what the target itself has:
    light that changes, and the blur of sampling between pixels, which would reward blurred predictions.
    """
    b, _, t, h, w = predicted.shape
    if motion.flow.shape != (b, t - 1, h, w, 2):
        raise ValueError(
            f"motion of shape {tuple(motion.flow.shape)} does not fit clips of shape {tuple(predicted.shape)}; "
            f"expected {(b, t - 1, h, w, 2)}"
        )
    if t == 1:
        return torch.zeros((), device=predicted.device)
    wide = torch.promote_types(predicted.dtype, torch.float32)  # bfloat16 cannot address the pixels of a row
    error = predicted.to(wide) - target.to(wide)
    way = rearrange(motion.flow, "b t h w xy -> (b t) h w xy").to(wide)
    # Sampling is linear: the difference of the differences is the difference of the error.
    went = sample(rearrange(error[:, :, 1:], "b c t h w -> (b t) c h w"), way)
    change = rearrange(error[:, :, :-1], "b c t h w -> (b t) c h w") - went
    counts = (rearrange(motion.seen, "b t h w -> (b t) h w") & _stays(way))[:, None].expand_as(change)
    return ((change.square() + eps * eps).sqrt() * counts).sum() / counts.sum().clamp(min=1)


def _stays(way: Float[Tensor, "n h w 2"]) -> Bool[Tensor, "n h w"]:
    """Return which points end between the outermost pixel centres."""
    h, w = way.shape[1:3]
    x = way[..., 0] + torch.arange(w, dtype=way.dtype, device=way.device)
    y = way[..., 1] + torch.arange(h, dtype=way.dtype, device=way.device)[:, None]
    return (x >= 0) & (x <= w - 1) & (y >= 0) & (y <= h - 1)
