"""Networks to hold side by side, each in three steps with random weights: OASIS, Wan with a VAE encoder, DOVE's architecture.

Seconds and memory depend on shapes and not on weights, so none are loaded. Nothing pads here: see `check_clip`.
"""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from oasis.configs import WAN_1_3B, OasisConfig, VAEConfig
from oasis.model.oasis import Oasis
from oasis.model.unshuffle import unshuffle
from oasis.model.wan_decoder import WAN_MEAN, WAN_STD, WanDecoder
from oasis.sections import section
from oasis.tiling import latent_grid
from oasis.timing.routings import table

SCALE = 4
PHASES = ("encode", "transformer", "decode")
Clip = tuple[int, int, int]
"""Frames, rows and columns of an LQ clip."""

SMALL = dataclasses.replace(
    WAN_1_3B,
    name="oasis-small",
    dit=dataclasses.replace(WAN_1_3B.dit, dim=96, layers=2, ffn_dim=192, text_dim=32, text_len=8, freq_dim=32),
    vae=VAEConfig(kind="wan", channels=16, width=4, blocks=1),
    prompt_tokens=4,
)
"""Two narrow layers with the full size's heads: shows that a comparison runs, and nothing else."""


@dataclass(frozen=True, kw_only=True)
class DoveConfig:
    """Sizes of CogVideoX1.5, which DOVE fine-tunes: transformer with a prompt of `prompt_tokens`, VAE of these `widths`."""

    heads: int
    head_dim: int
    layers: int
    time_dim: int
    text_dim: int
    prompt_tokens: int
    widths: tuple[int, int, int, int]
    blocks: int
    groups: int


# Transformer: CogVideoX1.5-5B's configuration as quoted in zai-org/CogVideo, issue 602 (42 layers, 48 heads, hidden_size 3072,
# patch 2x2x2, time_embed_dim 512), and diffusers' defaults. VAE: huggingface.co/diffusers/CogVideoX-5b-nf4, vae/config.json.
# Tokens: CogVideoX1.5 has 226 (svg-project/Sparse-VideoGen, issue 2), and DOVE pads its empty prompt to all of them. With that
# prompt these are 5.78719 G parameters, to all digits of the efficiency table in DOVE's supplementary material.
DOVE = DoveConfig(
    heads=48,
    head_dim=64,
    layers=42,
    time_dim=512,
    text_dim=4096,
    prompt_tokens=226,
    widths=(128, 256, 256, 512),
    blocks=3,
    groups=32,
)
SMALL_DOVE = DoveConfig(
    heads=4, head_dim=16, layers=2, time_dim=32, text_dim=32, prompt_tokens=8, widths=(4, 4, 4, 4), blocks=1, groups=2
)


class Network(nn.Module, ABC):
    """One-step super-resolution as `encode`, `transform` and `decode`, of clips that `check_clip` lets through."""

    def forward(self, lq: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b 3 t y x"]:
        """Upscale clips in [-1, 1] fourfold; clamped to [-1, 1]."""
        with section("encode"):
            latents = self.encode(lq)
        with section("transformer"):
            latents = self.transform(latents)
        with section("decode"):
            return self.decode(latents).clamp(-1, 1)

    @abstractmethod
    def encode(self, lq: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b i t4 h8 w8"]:
        """Return what the transformer reads."""

    @abstractmethod
    def transform(self, latents: Float[Tensor, "b i t h w"]) -> Float[Tensor, "b c t h w"]:
        """Return what the decoder reads, in one step."""

    @abstractmethod
    def decode(self, latents: Float[Tensor, "b c t4 h8 w8"]) -> Float[Tensor, "b 3 t y x"]:
        """Return the clip."""

    @abstractmethod
    def attention(self, clip: Clip) -> tuple[int, int, int]:
        """Return heads, tokens and width of the self-attention over an LQ clip, as if every head were dense."""

    def prepare(self) -> None:
        """Evaluate once what no clip changes, where the method does so."""


class Unshuffled(Network):
    """OASIS with the Wan decoder: pixel-unshuffle in place of an encoder; dense, or routed as `oasis.timing.routings` reads."""

    def __init__(self, config: OasisConfig, routing: str | None = None) -> None:
        super().__init__()
        self.network = Oasis(config)
        if routing is not None:
            self.network.dit.route(table(routing, config.name, config.dit.layers, config.dit.heads))

    def encode(self, lq: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b i t4 h8 w8"]:
        """Fold pixels onto the latent grid."""
        return unshuffle(lq, SCALE)

    def transform(self, latents: Float[Tensor, "b i t h w"]) -> Float[Tensor, "b c t h w"]:
        """Run Wan's transformer."""
        return self.network.dit(latents, self.network.condition())

    def decode(self, latents: Float[Tensor, "b c t4 h8 w8"]) -> Float[Tensor, "b 3 t y x"]:
        """Run the Wan decoder."""
        assert isinstance(self.network.vae, WanDecoder)
        return self.network.vae.decode(latents)

    def attention(self, clip: Clip) -> tuple[int, int, int]:
        """Return heads, tokens and width of a head."""
        dit = self.network.config.dit
        return dit.heads, self.network.dit.grid(_latents(clip)).tokens, dit.head_dim

    def prepare(self) -> None:
        """Fold timestep and prompt into constants."""
        self.network.fold_constants()


class Encoded(Unshuffled):
    """The same dense network behind Wan's VAE encoder, which sees the bicubically upscaled clip."""

    def __init__(self, config: OasisConfig) -> None:
        super().__init__(config)
        from diffusers import AutoencoderKLWan  # slow to import

        dit, vae = config.dit, config.vae
        self.network.dit.patch_embedding = nn.Conv3d(vae.channels, dit.dim, dit.patch, stride=dit.patch)
        encoder: Any = AutoencoderKLWan(base_dim=vae.width, z_dim=vae.channels, num_res_blocks=vae.blocks)
        del encoder.decoder, encoder.post_quant_conv  # the network has them already
        self.vae = encoder

    def encode(self, lq: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b i t4 h8 w8"]:
        """Return normalised means of the latents."""
        means = self.vae.encode(_upscaled(lq, "bicubic")).latent_dist.mode()
        mean, std = (means.new_tensor(values)[:, None, None, None] for values in (WAN_MEAN, WAN_STD))
        return (means - mean) / std


class Dove(Network):
    """The architecture of DOVE (arXiv 2505.16239), step by step as its `inference_script.py` (zhengchen1999/DOVE) runs it.

    Left out: its text encoder, because the embedded prompt is always the same, and the VAE's tiles, which save memory and cost
    time (the option `--is_vae_st` of its published commands).
    """

    TIMESTEP = 399
    SIGNAL = 0.39354405750427773
    """alphas_cumprod of CogVideoX1.5's schedule at that step."""
    LATENT_SCALE = 0.7

    def __init__(self, config: DoveConfig) -> None:
        super().__init__()
        from diffusers import AutoencoderKLCogVideoX, CogVideoXTransformer3DModel  # slow to import

        self.config = config
        self.prompt = nn.Parameter(torch.zeros(1, config.prompt_tokens, config.text_dim))
        self.transformer: Any = CogVideoXTransformer3DModel(
            num_attention_heads=config.heads,
            attention_head_dim=config.head_dim,
            num_layers=config.layers,
            time_embed_dim=config.time_dim,
            text_embed_dim=config.text_dim,
            max_text_seq_length=config.prompt_tokens,
            patch_size_t=2,
            use_rotary_positional_embeddings=True,
        )
        self.vae: Any = AutoencoderKLCogVideoX(
            block_out_channels=config.widths, layers_per_block=config.blocks, norm_num_groups=config.groups
        )

    def encode(self, lq: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b i t4 h8 w8"]:
        """Draw latents of the bilinearly upscaled clip."""
        return self.vae.encode(_upscaled(lq, "bilinear")).latent_dist.sample() * self.LATENT_SCALE

    def transform(self, latents: Float[Tensor, "b i t h w"]) -> Float[Tensor, "b c t h w"]:
        """Predict the velocity and step to the clean latents; of an odd number the first latent frame is doubled before."""
        from diffusers.models.embeddings import get_3d_rotary_pos_embed

        doubled = latents.shape[2] % 2
        x = rearrange(torch.cat([latents[:, :, :doubled], latents], dim=2), "b c t h w -> b t c h w")
        t, h, w = x.shape[1] // 2, x.shape[3] // 2, x.shape[4] // 2
        rotation = get_3d_rotary_pos_embed(
            self.config.head_dim, None, (h, w), t, grid_type="slice", max_size=(h, w), device=x.device
        )
        velocity = self.transformer(
            hidden_states=x,
            encoder_hidden_states=self.prompt.expand(len(x), -1, -1),
            timestep=torch.full((len(x),), self.TIMESTEP, device=x.device),
            image_rotary_emb=rotation,
            return_dict=False,
        )[0]
        clean = self.SIGNAL**0.5 * x - (1 - self.SIGNAL) ** 0.5 * velocity
        return rearrange(clean[:, doubled:], "b t c h w -> b c t h w")

    def decode(self, latents: Float[Tensor, "b c t4 h8 w8"]) -> Float[Tensor, "b 3 t y x"]:
        """Run the decoder."""
        return self.vae.decode(latents / self.LATENT_SCALE).sample

    def attention(self, clip: Clip) -> tuple[int, int, int]:
        """Return heads, tokens (of the prompt, too: they attend together) and width of a head."""
        t, h, w = _latents(clip)
        return self.config.heads, self.config.prompt_tokens + (t + t % 2) // 2 * (h // 2) * (w // 2), self.config.head_dim


def check_clip(clip: Clip) -> None:
    """Raise ValueError for an LQ clip that one of the networks would have to pad: DOVE needs 8k+1 frames, all sides 4k."""
    frames, rows, columns = clip
    if frames % 8 != 1 or rows % 4 or columns % 4:
        size = "x".join(map(str, clip))
        raise ValueError(f"the LQ clip is {size}; allowed: 8k+1 frames and sides that 4 divides, so that no method pads it")


def on_device(build: Callable[[], Network], device: str, dtype: torch.dtype) -> Network:
    """Build a network for inference with random weights, straight on the device and in its dtype.

    No weight passes through the memory of the host. Values are small enough that activations stay finite.
    """
    with torch.device("meta"):
        network = build().to(dtype)
    network.to_empty(device=device).eval().requires_grad_(False)
    generator = torch.Generator(device).manual_seed(0)
    for tensor in network.state_dict().values():
        if tensor.ndim > 1:
            tensor.normal_(std=tensor[0].numel() ** -0.5, generator=generator)
        else:
            tensor.normal_(mean=0.5, std=0.1, generator=generator)
    network.prepare()
    return network


def _upscaled(lq: Float[Tensor, "b 3 t h w"], mode: str) -> Float[Tensor, "b 3 t y x"]:
    large = F.interpolate(rearrange(lq, "b c t h w -> (b t) c h w"), scale_factor=SCALE, mode=mode)
    return rearrange(large, "(b t) c y x -> b c t y x", b=len(lq))


def _latents(clip: Clip) -> Clip:
    grid = latent_grid(clip, SCALE, (1, 2, 2))
    return grid.t, grid.h, grid.w
