"""The first layer of a transformer that was trained on latents, made to read unshuffled pixels instead."""

from collections.abc import Iterable

import torch
from einops import einsum, rearrange
from jaxtyping import Float
from torch import Tensor, nn

from oasis.train.least_squares import Fit, NormalEquations

Sample = tuple[Float[Tensor, "b i t h w"], Float[Tensor, "b c t h w"]]
"""The unshuffled pixels of an LQ clip, and the normalised latents of its HR clip."""
RIDGE = 1e-6  # principal components of unshuffled pixels span six orders of magnitude


def fit_embedding(embedding: nn.Conv3d, pretrained: nn.Conv3d, samples: Iterable[Sample]) -> Float[Tensor, "c"]:
    """Set a patch embedding to the pretrained one behind the map that fits the samples best; return R^2 per latent channel.

    ValueError without samples, or if shapes do not fit.
    """
    fit = fit_latents(samples)
    compose(embedding, pretrained, fit)
    return fit.explained


@torch.no_grad()
def fit_latents(samples: Iterable[Sample], *, ridge: float = RIDGE) -> Fit:
    """Fit latents from the unshuffled pixels at the same place, by least squares in float64; one sample is held at a time.

    The ridge is relative to the mean square of the pixels. ValueError without samples, or if the grids of one differ.
    """
    equations = None
    for folded, latents in samples:
        grids = [(part.shape[0], *part.shape[2:]) for part in (folded, latents)]
        if grids[0] != grids[1]:
            raise ValueError(
                f"unshuffled pixels on a grid (b, t, h, w) of {grids[0]} cannot be fitted to latents on {grids[1]}"
            )
        if equations is None:
            equations = NormalEquations(folded.shape[1], latents.shape[1])
        equations.add(*(rearrange(part, "b c t h w -> (b t h w) c").cpu() for part in (folded, latents)))
    if equations is None:
        raise ValueError("there are no clips to fit the patch embedding to")
    return equations.solve(ridge)


@torch.no_grad()
def compose(embedding: nn.Conv3d, pretrained: nn.Conv3d, fit: Fit) -> None:
    """Set a patch embedding to a pretrained one after the map of a fit, so that it sees the latents that the fit expects.

    The product is formed in float64. ValueError if shapes do not fit.
    """
    inputs, latents = fit.weight.shape
    if pretrained.weight.shape != (embedding.out_channels, latents, *embedding.kernel_size) or embedding.in_channels != inputs:
        raise ValueError(
            f"a pretrained patch embedding of shape {tuple(pretrained.weight.shape)} behind a map from {inputs} to {latents} "
            f"channels does not fit a patch embedding of shape {tuple(embedding.weight.shape)}"
        )
    assert embedding.bias is not None and pretrained.bias is not None
    wide = pretrained.weight.double().cpu()
    embedding.weight.copy_(einsum(wide, fit.weight, "o c pt ph pw, i c -> o i pt ph pw"))
    embedding.bias.copy_(pretrained.bias.double().cpu() + einsum(wide, fit.bias, "o c pt ph pw, c -> o"))


@torch.no_grad()
def start_randomly(embedding: nn.Conv3d, seed: int) -> None:
    """Set a patch embedding to a start without pretraining, for comparison: Wan2.1's Xavier-uniform weights; zero bias."""
    drawn = torch.empty(embedding.weight.flatten(1).shape)
    nn.init.xavier_uniform_(drawn, generator=torch.Generator().manual_seed(seed))
    embedding.weight.copy_(drawn.view_as(embedding.weight))
    assert embedding.bias is not None
    nn.init.zeros_(embedding.bias)
