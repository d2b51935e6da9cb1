"""From HR clips to Wan's latents: what the transformer is to predict, and never runs at inference."""

import re
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Float32, UInt8
from torch import Tensor, nn

from oasis import video
from oasis.configs import SPATIAL_STRIDE, TEMPORAL_STRIDE, WAN_1_3B, VAEConfig
from oasis.model import tensors
from oasis.model.naming import Foreign, detect
from oasis.model.wan_decoder import WAN_MEAN, WAN_STD

DECODER = {"official": ("decoder.", "conv2."), "diffusers": ("decoder.", "post_quant_conv.")}
"""How the keys of a VAE file begin that belong to its decoder."""


class WanEncoder(nn.Module):
    """The encoder half of diffusers' AutoencoderKLWan, frozen; with random weights until `load`."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        from diffusers import AutoencoderKLWan  # slow to import

        if config.channels != len(WAN_MEAN):
            raise ValueError(f"the Wan encoder writes {len(WAN_MEAN)} channels, got channels={config.channels}")
        vae: Any = AutoencoderKLWan(base_dim=config.width, z_dim=config.channels, num_res_blocks=config.blocks)
        self.encoder = vae.encoder
        self.quant_conv = vae.quant_conv
        self.causal_convolutions = vae._cached_conv_counts["encoder"]
        self.eval().requires_grad_(False)

    @torch.no_grad()
    def encode(self, clip: Float[Tensor, "b 3 f y x"]) -> Float[Tensor, "b c t h w"]:
        """Return normalised latents (means, nothing is drawn) of a clip in [-1, 1] of 4k+1 frames, sides multiples of 8.

        The first frame alone, then four by four with carried caches, exactly as the official code does, which however drops
        the frames of an incomplete last group; here it is refused with a ValueError.
        """
        frames, height, width = clip.shape[2:]
        if (frames - 1) % TEMPORAL_STRIDE or height % SPATIAL_STRIDE or width % SPATIAL_STRIDE:
            raise ValueError(f"the Wan encoder needs 4k+1 frames and sides that 8 divides, got {frames} of {width}x{height}")
        cache: list[Tensor | str | None] = [None] * self.causal_convolutions
        groups = [clip[:, :, :1], *clip[:, :, 1:].split(TEMPORAL_STRIDE, dim=2)] if frames > 1 else [clip]
        hidden = [self.encoder(group, feat_cache=cache, feat_idx=[0]) for group in groups]
        means = self.quant_conv(torch.cat(hidden, dim=2)).chunk(2, dim=1)[0]
        mean, std = (means.new_tensor(values)[:, None, None, None] for values in (WAN_MEAN, WAN_STD))
        return (means - mean) / std


def load_encoder(encoder: WanEncoder, state: Mapping[str, Tensor], names: Literal["official", "diffusers"]) -> None:
    """Fill an encoder from a VAE file's tensors; the decoder's keys are left out, nothing else may be left over.

    ValueError says what is missing, unexpected, misshapen or not finite.
    """
    if names not in DECODER:
        raise ValueError(f"key names {names!r} are unknown; allowed: {', '.join(DECODER)}")
    ours = {official_name(key) if names == "official" else key: key for key in encoder.state_dict()}
    kept = {key: tensor for key, tensor in state.items() if not key.startswith(DECODER[names])}
    for key, tensor in kept.items():
        if not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"Wan encoder with {names} names: tensor {key!r} holds NaN or infinity")
    try:
        encoder.load_state_dict({ours.get(key, key): tensor for key, tensor in kept.items()}, strict=True)
    except RuntimeError as error:
        raise ValueError(f"Wan encoder with {names} names: weights do not fit: {textwrap.shorten(str(error), 300)}") from error


def read_encoder(path: Path, config: VAEConfig = WAN_1_3B.vae, names: Foreign | None = None) -> WanEncoder:
    """Return the encoder of a Wan VAE from its file (`tensors.read`); without `names` the keys tell whose they are."""
    encoder, state = WanEncoder(config), tensors.read(path)
    try:
        load_encoder(encoder, state, names or detect(state))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return encoder


def frames_encoder(
    encoder: WanEncoder, device: str = "cpu"
) -> Callable[[UInt8[np.ndarray, "t y x 3"]], Float32[np.ndarray, "c t4 h8 w8"]]:
    """Return a function from clean frames to their normalised latents."""
    encoder = encoder.to(device)

    def encode(frames: UInt8[np.ndarray, "t y x 3"]) -> Float32[np.ndarray, "c t4 h8 w8"]:
        clip = video.to_network(rearrange(torch.from_numpy(frames), "t y x c -> t c y x"))
        return encoder.encode(rearrange(clip, "t c y x -> 1 c t y x").to(device))[0].cpu().numpy()

    return encode


def official_name(name: str) -> str:
    """Return Wan2.1's name of an encoder's tensor, by diffusers' name."""
    for pattern, replacement in _RENAMED:
        name = re.sub(pattern, replacement, name)
    return name


# In this order: a block's conv1 must be renamed before others get that name.
_RENAMED = (
    (r"\.norm1\.", ".residual.0."),
    (r"\.conv1\.", ".residual.2."),
    (r"\.norm2\.", ".residual.3."),
    (r"\.conv2\.", ".residual.6."),
    (r"\.conv_shortcut\.", ".shortcut."),
    (r"^encoder\.down_blocks\.", "encoder.downsamples."),
    (r"^encoder\.mid_block\.resnets\.0\.", "encoder.middle.0."),
    (r"^encoder\.mid_block\.attentions\.0\.", "encoder.middle.1."),
    (r"^encoder\.mid_block\.resnets\.1\.", "encoder.middle.2."),
    (r"^encoder\.conv_in\.", "encoder.conv1."),
    (r"^encoder\.norm_out\.", "encoder.head.0."),
    (r"^encoder\.conv_out\.", "encoder.head.2."),
    (r"^quant_conv\.", "conv1."),
)
