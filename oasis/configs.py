"""Configurations as frozen records, and the presets by name."""

from dataclasses import dataclass, replace
from typing import Literal

TEMPORAL_STRIDE = 4
SPATIAL_STRIDE = 8
SCALES = (1, 2, 4, 8)
WAN_WIDTHS = (4, 4, 2, 1)
"""Widths of the Wan decoder's levels, in multiples of the base width."""


@dataclass(frozen=True, kw_only=True)
class DiTConfig:
    """Sizes of the transformer; the names follow Wan2.1's."""

    in_channels: int
    out_channels: int
    dim: int
    heads: int
    layers: int
    ffn_dim: int
    patch: tuple[int, int, int]
    text_dim: int
    text_len: int
    freq_dim: int
    eps: float = 1e-6

    def __post_init__(self) -> None:
        if self.dim % self.heads or (self.dim // self.heads) % 2:
            raise ValueError(f"dim must split into heads of even width, got dim={self.dim}, heads={self.heads}")

    @property
    def head_dim(self) -> int:
        """Width of one head."""
        return self.dim // self.heads


@dataclass(frozen=True, kw_only=True)
class VAEConfig:
    """Sizes of the decoder: `wan` is that of Wan2.1's VAE, `small` and `fast` ours at LQ resolution.

    `fast` reads the latents of `wan`, `small` has its own. `width` is the base width (`wan`) or the trunk's width; `blocks`
    the residual blocks of a level (`wan`) or in all.
    """

    kind: Literal["wan", "small", "fast"]
    channels: int
    width: int
    blocks: int


@dataclass(frozen=True, kw_only=True)
class OasisConfig:
    """A whole network: LQ clip to latents to HR clip.

    `scale`: upscaling factor. `timestep` (0..1000) and the prompt of `prompt_tokens` tokens are constants of the model.
    `skip`: a linear map from the unshuffled LQ clip to the latents runs around the transformer.
    """

    name: str
    scale: int
    dit: DiTConfig
    vae: VAEConfig
    timestep: float
    prompt_tokens: int
    skip: bool

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            raise ValueError(f"scale is {self.scale}; allowed: {', '.join(map(str, SCALES))}")
        if self.dit.in_channels != unshuffled_channels(self.scale):
            raise ValueError(
                f"in_channels is {self.dit.in_channels}, but scale {self.scale} unshuffles into"
                f" {unshuffled_channels(self.scale)}"
            )
        if self.dit.out_channels != self.vae.channels:
            raise ValueError(f"out_channels is {self.dit.out_channels}, but the decoder reads {self.vae.channels}")


def unshuffled_channels(scale: int) -> int:
    """Channels that pixel-unshuffle makes of an LQ clip: 3 colours x (8/scale)^2 pixels x 4 frames."""
    return 3 * (SPATIAL_STRIDE // scale) ** 2 * TEMPORAL_STRIDE


TINY = OasisConfig(
    name="oasis-tiny",
    scale=4,
    dit=DiTConfig(
        in_channels=48,
        out_channels=192,
        dim=192,
        heads=8,
        layers=8,
        ffn_dim=512,
        patch=(1, 1, 1),
        text_dim=32,
        text_len=8,
        freq_dim=32,
    ),
    vae=VAEConfig(kind="small", channels=192, width=64, blocks=6),
    timestep=399.0,
    prompt_tokens=3,
    skip=True,
)

WAN_1_3B = OasisConfig(
    name="oasis-wan-1.3b",
    scale=4,
    dit=DiTConfig(
        in_channels=48,
        out_channels=16,
        dim=1536,
        heads=12,
        layers=30,
        ffn_dim=8960,
        patch=(1, 2, 2),
        text_dim=4096,
        text_len=512,
        freq_dim=256,
    ),
    vae=VAEConfig(kind="wan", channels=16, width=96, blocks=2),
    timestep=399.0,
    prompt_tokens=64,
    skip=False,
)

WAN_1_3B_FAST = replace(WAN_1_3B, name="oasis-wan-1.3b-fast", vae=VAEConfig(kind="fast", channels=16, width=192, blocks=8))

PRESETS = {"tiny": TINY, "wan-1.3b": WAN_1_3B, "wan-1.3b-fast": WAN_1_3B_FAST}
