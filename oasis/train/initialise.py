"""What a tiny network knows before its first step: PCA latents, a least-squares skip, whitened inputs; closed forms."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from oasis.model.oasis import LinearSkip, Oasis
from oasis.model.unshuffle import unshuffle
from oasis.model.vae import LATENT_SCALE, SmallVAE
from oasis.train.least_squares import NormalEquations

SHARPNESS = 2.0
"""First gain of the query norms. At 1, scores of untrained heads spread so little that attention is near uniform, its gradients
are weak, and heads stay uniform for hundreds of steps."""
Pair = tuple[Float[Tensor, "b 3 t h w"], Float[Tensor, "b 3 t y x"]]


@torch.no_grad()
def initialise(model: Oasis, pairs: Iterable[Pair]) -> None:
    """Fit VAE, skip and patch embedding of a model with a small VAE to pairs (lq, hr) in [-1, 1]."""
    pairs = list(pairs)
    if not isinstance(model.vae, SmallVAE) or model.skip is None:
        raise ValueError(f"{model.config.name} has no small VAE or no skip; closed-form initialisation needs both")
    model.vae.fit(torch.cat([rearrange(unshuffle(hr, LATENT_SCALE), "b p t h w -> (b t h w) p") for _, hr in pairs]))
    folded = [unshuffle(lq, model.config.scale) for lq, _ in pairs]
    latents = [model.vae.encode(hr) for _, hr in pairs]
    fit_skip(model.skip, folded, latents)
    whiten(model.dit.patch_embedding, torch.cat([rearrange(part, "b i t h w -> (b t h w) i") for part in folded]))
    nn.init.zeros_(model.dit.head.projection.weight)
    nn.init.zeros_(model.dit.head.projection.bias)
    nn.init.normal_(model.prompt)
    for block in model.dit.blocks:
        block.self_attention.query_norm.weight.fill_(SHARPNESS)


def fit_skip(
    skip: LinearSkip, folded: list[Float[Tensor, "b i t h w"]], latents: list[Float[Tensor, "b c t h w"]], ridge: float = 1e-4
) -> None:
    """Solve the normal equations of 3x3 neighbourhoods onto latents, with a ridge relative to the mean variance."""
    equations = NormalEquations(skip.filter.in_channels * 9, skip.filter.out_channels)
    for x, z in zip(folded, latents, strict=True):
        equations.add(_neighbourhoods(x), rearrange(z, "b c t h w -> (b t h w) c"))
    fit = equations.solve(ridge)
    skip.filter.weight.copy_(rearrange(fit.weight, "(i kh kw) c -> c i kh kw", i=skip.filter.in_channels, kh=3, kw=3))
    assert skip.filter.bias is not None
    skip.filter.bias.copy_(fit.bias)
    residual = torch.cat([rearrange(z - skip(x), "b c t h w -> (b t h w) c") for x, z in zip(folded, latents, strict=True)])
    skip.residual_std.copy_(residual.std(dim=0))


def whiten(embedding: nn.Conv3d, samples: Float[Tensor, "n i"], floor: float = 1e-6) -> None:
    """Fold the whitening of the input channels into a patch embedding with unit-variance outputs.

    The channels' variances span six orders of magnitude; without whitening the norms of the network drown the detail.
    `floor` bounds the variances from below, relative to the largest.
    """
    wide = samples.double()
    mean = wide.mean(0)
    values, vectors = torch.linalg.eigh((wide - mean).T @ (wide - mean) / len(wide))
    whitening = vectors / (values.clamp(min=floor * float(values.max()))).sqrt()
    taps = embedding.weight[0, 0].numel()
    mixing = torch.randn(embedding.out_channels, len(mean) * taps, dtype=torch.float64) / (len(mean) * taps) ** 0.5
    weight = torch.einsum("oit,ji->ojt", mixing.view(embedding.out_channels, len(mean), taps), whitening)
    embedding.weight.copy_(weight.view_as(embedding.weight))
    assert embedding.bias is not None
    embedding.bias.copy_(-torch.einsum("oit,i->o", weight, mean))


def _neighbourhoods(x: Float[Tensor, "b i t h w"]) -> Float[Tensor, "n k"]:
    frames = F.pad(rearrange(x, "b i t h w -> (b t) i h w"), (1, 1, 1, 1), mode="replicate")
    return rearrange(F.unfold(frames.double(), 3), "bt k n -> (bt n) k")
