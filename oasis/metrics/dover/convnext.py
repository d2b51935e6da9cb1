"""DOVER's aesthetic branch: ConvNeXt (Liu et al. 2022) whose kernels are inflated in time.

Names, order and numbers follow VQAssessment/DOVER@f1ddc96, confirmed with its outputs.
"""

import itertools

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

EPS = 1e-6


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of "c t h w"."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim, eps=EPS)

    def forward(self, input: Float[Tensor, "c t h w"]) -> Float[Tensor, "c t h w"]:
        """Normalise every place by itself."""
        return rearrange(super().forward(rearrange(input, "c t h w -> t h w c")), "t h w c -> c t h w")


class Block(nn.Module):
    """A depthwise convolution, two linear layers and a scale per channel, added to the input."""

    def __init__(self, dim: int, frames: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv3d(dim, dim, (frames, 7, 7), padding=(frames // 2, 3, 3), groups=dim)
        self.norm = nn.LayerNorm(dim, eps=EPS)
        self.pwconv1 = nn.Linear(dim, 4 * dim)
        self.pwconv2 = nn.Linear(4 * dim, dim)
        self.gamma = nn.Parameter(torch.ones(dim))

    def forward(self, x: Float[Tensor, "c t h w"]) -> Float[Tensor, "c t h w"]:
        """Update every place."""
        y = self.norm(rearrange(self.dwconv(x), "c t h w -> t h w c"))
        y = self.gamma * self.pwconv2(F.gelu(self.pwconv1(y)))
        return x + rearrange(y, "t h w c -> c t h w")


class ConvNeXt3D(nn.Module):
    """Four stages of blocks; of three blocks the middle one looks at 3 frames, the others at one."""

    def __init__(self, depths: tuple[int, ...], dims: tuple[int, ...]) -> None:
        super().__init__()
        stem = nn.Sequential(nn.Conv3d(3, dims[0], (2, 4, 4), stride=(2, 4, 4)), ChannelNorm(dims[0]))
        halvings = (
            nn.Sequential(ChannelNorm(before), nn.Conv3d(before, after, (1, 2, 2), stride=(1, 2, 2)))
            for before, after in itertools.pairwise(dims)
        )
        self.downsample_layers = nn.ModuleList([stem, *halvings])
        self.stages = nn.ModuleList(
            nn.Sequential(*(Block(dim, frames=3 if number % 3 == 1 else 1) for number in range(depth)))
            for depth, dim in zip(depths, dims, strict=True)
        )
        self.norm = ChannelNorm(dims[-1])

    def forward(self, x: Float[Tensor, "3 t h w"]) -> Float[Tensor, "c t2 h32 w32"]:
        """Return features of normalised RGB."""
        for downsample, stage in zip(self.downsample_layers, self.stages, strict=True):
            x = stage(downsample(x))
        return self.norm(x)
