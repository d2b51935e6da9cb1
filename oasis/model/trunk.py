"""A residual network at LQ resolution from latents and the LQ clip to HR pixels: what both decoders of our own share."""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from oasis.configs import SPATIAL_STRIDE, TEMPORAL_STRIDE, VAEConfig
from oasis.model.unshuffle import shuffle


class Trunk(nn.Module):
    """Latents, spread over the LQ pixels that they stand for, and the LQ clip become what a simpler guess lacks.

    `kernel`: how many latents side by side a pixel sees at once. The last layer starts at zero.
    """

    def __init__(self, config: VAEConfig, scale: int, kernel: int) -> None:
        super().__init__()
        self.scale = scale
        group = TEMPORAL_STRIDE * (SPATIAL_STRIDE // scale) ** 2
        self.unfold = nn.Conv2d(config.channels, config.width * group, kernel, padding=kernel // 2)
        self.enter = nn.Conv2d(config.width + 3, config.width, 3, padding=1)
        self.trunk = nn.ModuleList(TrunkBlock(config.width) for _ in range(config.blocks))
        self.leave = nn.Conv2d(config.width, 3 * scale**2, 3, padding=1)
        for tensor in self.leave.parameters():
            nn.init.zeros_(tensor)

    def residual(self, latents: Float[Tensor, "b c t4 h8 w8"], lq: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b 3 t y x"]:
        """Return what is to be added to the simpler guess of the clip of these latents."""
        b = latents.shape[0]
        groups = rearrange(self.unfold(rearrange(latents, "b c t h w -> (b t) c h w")), "(b t) c h w -> b c t h w", b=b)
        features = torch.cat([shuffle(groups, self.scale), lq], dim=1)
        hidden = _per_frame(self.enter, rearrange(features, "b c t h w -> b t h w c").contiguous())
        for block in self.trunk:
            hidden = block(hidden)
        residual = F.pixel_shuffle(self.leave(rearrange(hidden, "b t h w c -> (b t) c h w")), self.scale)
        return rearrange(residual, "(b t) c y x -> b c t y x", b=b)


class TrunkBlock(nn.Module):
    """Residual block: a spatial convolution that also reads both neighbouring frames, then a pointwise one.

    A quarter of the channels comes from the frame before and a quarter from the frame after (temporal shift, Lin et al. 2019,
    arXiv 1811.08383); the first and the last frame stand for what is missing.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(width, width, 3, padding=1)
        self.out = nn.Conv2d(width, width, 1)

    def forward(self, x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b t h w c"]:
        """Apply the block to clips whose channels lie last, which halves the time of convolutions on processors."""
        quarter = x.shape[-1] // 4
        before, after, same = F.silu(x).split([quarter, quarter, x.shape[-1] - 2 * quarter], dim=-1)
        before = torch.cat([before[:, :1], before[:, :-1]], dim=1)
        after = torch.cat([after[:, 1:], after[:, -1:]], dim=1)
        mixed = _per_frame(self.mix, torch.cat([before, after, same], dim=-1))
        return x + _per_frame(self.out, F.silu(mixed))


def _per_frame(layer: nn.Conv2d, x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b t h w d"]:
    """Convolve every frame of clips whose channels lie last, and leave them there."""
    return rearrange(layer(rearrange(x, "b t h w c -> (b t) c h w")), "(b t) d h w -> b t h w d", t=x.shape[1])
