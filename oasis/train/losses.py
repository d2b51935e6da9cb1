"""Training losses; each maps a prediction and its target to one number."""

import torch
from jaxtyping import Float
from torch import Tensor


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
