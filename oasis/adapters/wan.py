"""Wan2.1's and VACE's transformers as diffusers has them: processors of their self-attention, and what their forward reads."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from oasis.adapters.attention import Heads
from oasis.grid import Grid

TEXT_LEN = 512
"""Tokens to which Wan2.1 pads a prompt with zeros."""


class WanProcessor:
    """Self-attention of one layer as diffusers' WanAttnProcessor computes it, with its heads shown and routed."""

    def __init__(self, layer: int, heads: Heads) -> None:
        self.layer = layer
        self.heads = heads

    def __call__(
        self,
        attn: Any,
        hidden_states: Float[Tensor, "b n c"],
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        rotary_emb: Any = None,
    ) -> Float[Tensor, "b n c"]:
        """Return what the layer adds; ValueError for a mask, or for positions in a form of another version."""
        if encoder_hidden_states is not None or attention_mask is not None:
            raise ValueError(
                f"layer {self.layer}: Wan's self-attention got a mask or other keys, which its adapter does not know"
            )
        if not isinstance(rotary_emb, tuple):
            raise ValueError(
                f"layer {self.layer}: rotary positions are {type(rotary_emb).__name__}; allowed: cosines and sines"
            )
        if getattr(attn, "fused_projections", False):
            query, key, value = attn.to_qkv(hidden_states).chunk(3, dim=-1)
        else:
            query, key, value = attn.to_q(hidden_states), attn.to_k(hidden_states), attn.to_v(hidden_states)
        # The norms run over all heads before the split.
        query, key = attn.norm_q(query), attn.norm_k(key)
        query, key, value = (rearrange(x, "b n (heads d) -> b heads n d", heads=attn.heads) for x in (query, key, value))
        cos, sin = (rearrange(x, "1 n 1 d -> 1 1 n d") for x in rotary_emb)
        out = self.heads.attend(self.layer, _rotate(query, cos, sin), _rotate(key, cos, sin), value)
        out = rearrange(out, "b heads n d -> b n (heads d)").type_as(query)
        return attn.to_out[1](attn.to_out[0](out))


def _rotate(
    x: Float[Tensor, "b heads n d"], cos: Float[Tensor, "1 1 n d"], sin: Float[Tensor, "1 1 n d"]
) -> Float[Tensor, "b heads n d"]:
    """Rotate neighbouring pairs of channels; cosines and sines are there twice, once for each of a pair."""
    even, odd = x[..., 0::2], x[..., 1::2]
    cos, sin = cos[..., 0::2], sin[..., 1::2]
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).flatten(-2).type_as(x)


class Wan:
    """Text-to-video and VACE transformers. VACE's control blocks attend to the same grid and are numbered last."""

    vae = "AutoencoderKLWan"
    encoder = "UMT5EncoderModel"
    padding_is_zero = True

    def layers(self, transformer: Any) -> dict[str, Any]:
        """Return attn1 of `blocks.N`, then of `vace_blocks.N`."""
        found = {f"blocks.{number}": block.attn1 for number, block in enumerate(transformer.blocks)}
        control = getattr(transformer, "vace_blocks", ())
        return found | {f"vace_blocks.{number}": block.attn1 for number, block in enumerate(control)}

    def heads(self, config: Any) -> int:
        """Return the heads of every layer."""
        return config.num_attention_heads

    def processor(self, layer: int, heads: Heads) -> Callable[..., Any]:
        """Return the processor of a layer."""
        return WanProcessor(layer, heads)

    def grid(self, transformer: Any, shape: Sequence[int]) -> Grid:
        """Return the tokens of hidden_states "b c t h w"."""
        return Grid(*(length // patch for length, patch in zip(shape[2:], self.patch(transformer.config), strict=True)))

    def patch(self, config: Any) -> tuple[int, int, int]:
        """Return the patch, (frames, rows, columns) of latents."""
        t, h, w = config.patch_size
        return t, h, w

    def text(self, config: Any) -> int:
        """None: the prompt has an attention of its own."""
        return 0

    def prompt_shape(self, config: Any) -> tuple[int, int]:
        """Return (tokens, width) of a padded prompt."""
        return TEXT_LEN, config.text_dim

    def strides(self, config: Any) -> tuple[int, int]:
        """Return how many frames and pixels a latent of the VAE stands for."""
        halved = config.temperal_downsample
        return 2 ** sum(halved), 2 ** len(halved) * (config.patch_size or 1)

    def check(self, config: Any, vae: Any) -> None:
        """Raise ValueError where the transformer reads more than a clip's latents, a prompt and, for VACE, a clip to follow."""
        if config.in_channels != vae.z_dim or config.image_dim is not None:
            raise ValueError(
                f"the transformer reads {config.in_channels} channels, the VAE makes {vae.z_dim}; image-to-video has no adapter"
            )
        if config.patch_size[0] != 1:
            raise ValueError(f"patch_size is {tuple(config.patch_size)}; allowed: patches of one latent frame")
        control = 2 * vae.z_dim + self.strides(vae)[1] ** 2
        if getattr(config, "vace_in_channels", control) != control:
            raise ValueError(f"vace_in_channels is {config.vace_in_channels}; {control} are twice the latents' and the mask's")

    def check_timestep(self, timestep: float, steps: int) -> None:
        """Raise ValueError if a schedule of `steps` training steps has no such timestep."""
        if not 0 <= timestep <= steps:
            raise ValueError(f"--timestep is {timestep:g}; allowed: 0 to {steps}")

    def encode(self, vae: Any, clip: Float[Tensor, "1 3 t h w"]) -> Float[Tensor, "1 c f y x"]:
        """Return the most likely latents, of mean 0 and variance 1 in each channel over Wan's training clips."""
        mean, std = (
            torch.tensor(values).to(clip)[:, None, None, None] for values in (vae.config.latents_mean, vae.config.latents_std)
        )
        return (vae.encode(clip).latent_dist.mode() - mean) / std

    def noised(self, latents: Tensor, noise: Tensor, timestep: float, scheduler: Any) -> Tensor:
        """Return (1 - s) x + s noise with s = timestep / steps; a shift of the schedule changes which s it visits."""
        steps = scheduler.get("num_train_timesteps", 1000)
        flow = "FlowMatch" in scheduler["_class_name"] or scheduler.get("prediction_type") == "flow_prediction"
        if not flow:
            raise ValueError(f"scheduler {scheduler['_class_name']} predicts no flow, as Wan's do")
        return torch.lerp(latents, noise, timestep / steps)

    def arguments(
        self, transformer: Any, vae: Any, clip: Tensor, latents: Tensor, prompt: Tensor, timestep: float
    ) -> dict[str, Any]:
        """Return the arguments of a forward; VACE follows the whole clip, as its pipeline does without a mask."""
        dtype, device = prompt.dtype, prompt.device
        found = {
            "hidden_states": latents.to(dtype),
            "timestep": torch.tensor([timestep], dtype=torch.float32, device=device),
            "encoder_hidden_states": prompt,
        }
        if isinstance(getattr(transformer, "vace_blocks", None), nn.ModuleList):
            inactive, reactive = self.encode(vae, torch.zeros_like(clip)), self.encode(vae, clip)
            mask = reactive.new_ones(1, self.strides(vae.config)[1] ** 2, *reactive.shape[2:])
            found["control_hidden_states"] = torch.cat([inactive, reactive, mask], dim=1).to(dtype)
        return found
