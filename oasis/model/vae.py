"""From latents to pixels: `small` (ours, at LQ resolution) here, `wan` in wan_decoder.py."""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from oasis.configs import SPATIAL_STRIDE, TEMPORAL_STRIDE, OasisConfig, VAEConfig
from oasis.model.unshuffle import shuffle, unshuffle
from oasis.model.wan_decoder import WanDecoder

PIXELS = 3 * TEMPORAL_STRIDE * SPATIAL_STRIDE**2
LATENT_SCALE = 1  # a clip of scale 1 unshuffles into PIXELS channels on the latent grid


class SmallVAE(nn.Module):
    """A VAE whose encoder is linear and whose decoder is linear but for a residual trunk, which also sees the LQ clip.

    The encoder projects groups of 4x8x8 pixels onto their leading principal components; the decoder starts as that
    projection's inverse. The trunk works on the pixels of the LQ clip and starts at zero: it learns what neighbouring pixels
    and frames say about a pixel. A decoder that sees the LQ clip is the idea
    of FlashVSR's tiny conditional decoder (arXiv 2510.12747).
    """

    mean: Float[Tensor, "p"]
    basis: Float[Tensor, "p c"]
    std: Float[Tensor, "c"]

    def __init__(self, config: VAEConfig, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.register_buffer("mean", torch.zeros(PIXELS))
        self.register_buffer("basis", torch.zeros(PIXELS, config.channels))
        self.register_buffer("std", torch.ones(config.channels))
        group = TEMPORAL_STRIDE * (SPATIAL_STRIDE // scale) ** 2
        self.unfold = nn.Conv2d(config.channels, config.width * group, 1)
        self.enter = nn.Conv2d(config.width + 3, config.width, 3, padding=1)
        self.trunk = nn.ModuleList(TrunkBlock(config.width) for _ in range(config.blocks))
        self.leave = nn.Conv2d(config.width, 3 * scale**2, 3, padding=1)
        for tensor in self.leave.parameters():
            nn.init.zeros_(tensor)

    @torch.no_grad()
    def fit(self, groups: Float[Tensor, "n p"]) -> None:
        """Set the basis to the principal components of samples of pixel groups, in closed form."""
        wide = groups.double()
        mean = wide.mean(0)
        values, vectors = torch.linalg.eigh((wide - mean).T @ (wide - mean) / len(wide))
        channels = self.basis.shape[1]
        self.mean.copy_(mean)
        self.basis.copy_(vectors.flip(1)[:, :channels])
        self.std.copy_(values.flip(0)[:channels].sqrt())

    def encode(self, clip: Float[Tensor, "b 3 f y x"]) -> Float[Tensor, "b c t h w"]:
        """Return normalised latents of a clip in [-1, 1] of 4k+1 frames, sides multiples of 8."""
        groups = rearrange(unshuffle(clip, LATENT_SCALE), "b p t h w -> b t h w p")
        # Contiguous, because products with strided groups would copy the basis for each of them.
        latents = F.linear((groups - self.mean).contiguous(), self.basis.T) / self.std
        return rearrange(latents, "b t h w c -> b c t h w")

    def decode(self, latents: Float[Tensor, "b c t4 h8 w8"], lq: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b 3 f y x"]:
        """Return the clip of normalised latents and of the LQ clip that they were made from, not clamped."""
        b = latents.shape[0]
        groups = rearrange(self.unfold(rearrange(latents, "b c t h w -> (b t) c h w")), "(b t) c h w -> b c t h w", b=b)
        features = torch.cat([shuffle(groups, self.scale), lq], dim=1)
        hidden = _per_frame(self.enter, rearrange(features, "b c t h w -> b t h w c").contiguous())
        for block in self.trunk:
            hidden = block(hidden)
        residual = F.pixel_shuffle(self.leave(rearrange(hidden, "b t h w c -> (b t) c h w")), self.scale)
        return self.decode_linearly(latents) + rearrange(residual, "(b t) c y x -> b c t y x", b=b)

    def decode_linearly(self, latents: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b 3 f y x"]:
        """Return the clip that projects onto normalised latents: the inverse of `encode` on its span."""
        scaled = rearrange(latents, "b c t h w -> b t h w c") * self.std
        groups = F.linear(scaled.contiguous(), self.basis, self.mean)
        return shuffle(rearrange(groups, "b t h w p -> b p t h w"), LATENT_SCALE)


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


def build_decoder(config: OasisConfig) -> WanDecoder | SmallVAE:
    """Return the decoder that the configuration names."""
    return WanDecoder(config.vae) if config.vae.kind == "wan" else SmallVAE(config.vae, config.scale)
