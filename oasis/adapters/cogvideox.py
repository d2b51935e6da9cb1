"""CogVideoX 1.0 and 1.5 as diffusers has them: text and video in one self-attention, the text in front."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from oasis.adapters.attention import Heads
from oasis.grid import Grid


class CogVideoXProcessor:
    """Joint attention of one layer as diffusers' CogVideoXAttnProcessor2_0 computes it, with its heads shown and routed."""

    def __init__(self, layer: int, heads: Heads) -> None:
        self.layer = layer
        self.heads = heads

    def __call__(
        self,
        attn: Any,
        hidden_states: Float[Tensor, "b n c"],
        encoder_hidden_states: Float[Tensor, "b l c"],
        attention_mask: Tensor | None = None,
        image_rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Float[Tensor, "b n c"], Float[Tensor, "b l c"]]:
        """Return what the layer adds to video and text; ValueError for a mask."""
        if attention_mask is not None:
            raise ValueError(f"layer {self.layer}: CogVideoX's attention got a mask, which its adapter does not know")
        text = encoder_hidden_states.shape[1]
        states = torch.cat([encoder_hidden_states, hidden_states], dim=1)
        if getattr(attn, "fused_projections", False):
            query, key, value = attn.to_qkv(states).chunk(3, dim=-1)
        else:
            query, key, value = attn.to_q(states), attn.to_k(states), attn.to_v(states)
        query, key, value = (rearrange(x, "b n (heads d) -> b heads n d", heads=attn.heads) for x in (query, key, value))
        query, key = (x if norm is None else norm(x) for x, norm in ((query, attn.norm_q), (key, attn.norm_k)))
        if image_rotary_emb is not None:
            query, key = (_rotate_video(x, text, image_rotary_emb) for x in (query, key))
        out = self.heads.attend(self.layer, query, key, value, text=text)
        out = attn.to_out[1](attn.to_out[0](rearrange(out, "b heads n d -> b n (heads d)")))
        return out[:, text:], out[:, :text]


def _rotate_video(x: Float[Tensor, "b heads n d"], text: int, rotary: tuple[Tensor, Tensor]) -> Float[Tensor, "b heads n d"]:
    from diffusers.models.embeddings import apply_rotary_emb

    rotate: Any = apply_rotary_emb  # its annotations leave out pairs
    return torch.cat([x[:, :, :text], rotate(x[:, :, text:], rotary)], dim=2)


class CogVideoX:
    """Text-to-video transformers of CogVideoX, also under one-step upscalers that keep their form, as DOVE does."""

    vae = "AutoencoderKLCogVideoX"
    encoder = "T5EncoderModel"
    padding_is_zero = False

    def layers(self, transformer: Any) -> dict[str, Any]:
        """Return attn1 of `transformer_blocks.N`."""
        return {f"transformer_blocks.{number}": block.attn1 for number, block in enumerate(transformer.transformer_blocks)}

    def heads(self, config: Any) -> int:
        """Return the heads of every layer."""
        return config.num_attention_heads

    def processor(self, layer: int, heads: Heads) -> Callable[..., Any]:
        """Return the processor of a layer."""
        return CogVideoXProcessor(layer, heads)

    def grid(self, transformer: Any, shape: Sequence[int]) -> Grid:
        """Return the tokens of hidden_states "b t c h w"."""
        sides = (shape[1], shape[3], shape[4])
        return Grid(*(length // patch for length, patch in zip(sides, self.patch(transformer.config), strict=True)))

    def patch(self, config: Any) -> tuple[int, int, int]:
        """Return the patch, (frames, rows, columns) of latents."""
        return config.patch_size_t or 1, config.patch_size, config.patch_size

    def text(self, config: Any) -> int:
        """Return how many text tokens are in the self-attention."""
        return config.max_text_seq_length

    def prompt_shape(self, config: Any) -> tuple[int, int]:
        """Return (tokens, width) of a prompt's embedding."""
        return config.max_text_seq_length, config.text_embed_dim

    def strides(self, config: Any) -> tuple[int, int]:
        """Return how many frames and pixels a latent of the VAE stands for."""
        return int(config.temporal_compression_ratio), 2 ** (len(config.block_out_channels) - 1)

    def check(self, config: Any, vae: Any) -> None:
        """Raise ValueError where the transformer reads more than a clip's latents and a prompt."""
        if config.in_channels != vae.latent_channels or config.ofs_embed_dim is not None:
            raise ValueError(
                f"the transformer reads {config.in_channels} channels, the VAE makes {vae.latent_channels};"
                " image-to-video has no adapter"
            )

    def check_timestep(self, timestep: float, steps: int) -> None:
        """Raise ValueError if a schedule of `steps` training steps has no such timestep."""
        if timestep not in range(steps):
            raise ValueError(f"--timestep is {timestep:g}; allowed: whole numbers from 0 to {steps - 1}")

    def encode(self, vae: Any, clip: Float[Tensor, "1 3 t h w"]) -> Float[Tensor, "1 c f y x"]:
        """Return the most likely latents, times the VAE's scaling factor."""
        return vae.encode(clip).latent_dist.mode() * vae.config.scaling_factor

    def noised(self, latents: Tensor, noise: Tensor, timestep: float, scheduler: Any) -> Tensor:
        """Return sqrt(a) x + sqrt(1 - a) noise with the scheduler's a at this timestep."""
        import diffusers

        kind = scheduler["_class_name"]
        if kind not in ("CogVideoXDDIMScheduler", "CogVideoXDPMScheduler"):
            raise ValueError(f"scheduler {kind} has no adapter; allowed: CogVideoXDDIMScheduler, CogVideoXDPMScheduler")
        made = getattr(diffusers, kind).from_config(dict(scheduler))
        return made.add_noise(latents, noise, torch.tensor([int(timestep)]))

    def arguments(
        self, transformer: Any, vae: Any, clip: Tensor, latents: Tensor, prompt: Tensor, timestep: float
    ) -> dict[str, Any]:
        """Return the arguments of a forward; where patches span frames, the first latent frame is repeated in front.

        That is how DOVE fills a patch; the tokens' frames are then counted from the repeated one.
        """
        config = transformer.config
        more = -latents.shape[2] % self.patch(config)[0]
        latents = torch.cat([latents[:, :, :1]] * more + [latents], dim=2)
        states = rearrange(latents, "b c t h w -> b t c h w").to(prompt.dtype)
        grid = self.grid(transformer, states.shape)
        rotary = rotary_positions(grid, config, prompt.device) if config.use_rotary_positional_embeddings else None
        return {
            "hidden_states": states,
            "timestep": torch.tensor([int(timestep)], device=prompt.device),
            "encoder_hidden_states": prompt,
            "image_rotary_emb": rotary,
        }


def rotary_positions(
    grid: Grid, config: Any, device: torch.device | str = "cpu"
) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n d"]]:
    """Return cosines and sines of the video tokens' positions as CogVideoX's pipelines make them.

    1.0 spreads the grid over the largest centred box of its shape in the grid that it was trained on; 1.5 counts tokens.
    """
    from diffusers.models.embeddings import get_3d_rotary_pos_embed

    positions: Any = get_3d_rotary_pos_embed  # annotated for several forms
    same = {"embed_dim": config.attention_head_dim, "grid_size": (grid.h, grid.w), "temporal_size": grid.t, "device": device}
    if config.patch_size_t is not None:
        return positions(crops_coords=None, grid_type="slice", max_size=(grid.h, grid.w), **same)
    trained = (config.sample_height // config.patch_size, config.sample_width // config.patch_size)
    return positions(crops_coords=centred_box((grid.h, grid.w), trained), **same)


def centred_box(shape: tuple[int, int], room: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return top left and bottom right of the largest box with the proportions of `shape`, in the middle of `room`."""
    tall = shape[0] / shape[1] > room[0] / room[1]
    size = (room[0], round(room[0] / shape[0] * shape[1])) if tall else (round(room[1] / shape[1] * shape[0]), room[1])
    top, left = (round((most - side) / 2) for most, side in zip(room, size, strict=True))
    return (top, left), (top + size[0], left + size[1])
