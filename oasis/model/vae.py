"""From latents to pixels: `small` and `fast` (at LQ resolution, seeing the LQ clip) here, `wan` in wan_decoder.py."""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from oasis.configs import SPATIAL_STRIDE, TEMPORAL_STRIDE, OasisConfig, VAEConfig
from oasis.model.trunk import Trunk
from oasis.model.unshuffle import shuffle, unshuffle
from oasis.model.wan_decoder import WanDecoder

PIXELS = 3 * TEMPORAL_STRIDE * SPATIAL_STRIDE**2
LATENT_SCALE = 1  # a clip of scale 1 unshuffles into PIXELS channels on the latent grid


class SmallVAE(Trunk):
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
        super().__init__(config, scale, kernel=1)
        self.register_buffer("mean", torch.zeros(PIXELS))
        self.register_buffer("basis", torch.zeros(PIXELS, config.channels))
        self.register_buffer("std", torch.ones(config.channels))

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
        return self.decode_linearly(latents) + self.residual(latents, lq)

    def decode_linearly(self, latents: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b 3 f y x"]:
        """Return the clip that projects onto normalised latents: the inverse of `encode` on its span."""
        scaled = rearrange(latents, "b c t h w -> b t h w c") * self.std
        groups = F.linear(scaled.contiguous(), self.basis, self.mean)
        return shuffle(rearrange(groups, "b t h w p -> b p t h w"), LATENT_SCALE)


class FastDecoder(Trunk):
    """A decoder of Wan's latents that costs a small share of Wan's own, because it also sees the LQ clip and starts from it.

    It reads normalised latents of 16 channels, as the transformer writes them, and adds to the bicubically upscaled clip.
    """

    def __init__(self, config: VAEConfig, scale: int) -> None:
        super().__init__(config, scale, kernel=3)

    def decode(self, latents: Float[Tensor, "b c t4 h8 w8"], lq: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b 3 t y x"]:
        """Return the clip of normalised latents and of the LQ clip that they were made from, not clamped.

        A frame depends on as many neighbours on each side as the trunk has blocks.
        """
        large = F.interpolate(rearrange(lq, "b c t h w -> (b t) c h w"), scale_factor=self.scale, mode="bicubic")
        return rearrange(large, "(b t) c y x -> b c t y x", b=lq.shape[0]) + self.residual(latents, lq)


def build_decoder(config: OasisConfig) -> WanDecoder | SmallVAE | FastDecoder:
    """Return the decoder that the configuration names."""
    if config.vae.kind == "wan":
        return WanDecoder(config.vae)
    return SmallVAE(config.vae, config.scale) if config.vae.kind == "small" else FastDecoder(config.vae, config.scale)
