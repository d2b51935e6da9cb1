"""Pipelines of a few thousand random weights in the folders that diffusers writes, and clips for them."""

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKLCogVideoX,
    AutoencoderKLWan,
    CogVideoXDPMScheduler,
    CogVideoXTransformer3DModel,
    FlowMatchEulerDiscreteScheduler,
    WanTransformer3DModel,
    WanVACETransformer3DModel,
)
from torch import Tensor, nn

KINDS = ("wan", "vace", "cogvideox-1.0", "cogvideox-1.5")
TEXT = 5
"""Text tokens in the self-attention of the CogVideoX ones."""
_WAN = {
    "num_attention_heads": 3,
    "attention_head_dim": 12,
    "in_channels": 4,
    "out_channels": 4,
    "text_dim": 8,
    "freq_dim": 16,
    "ffn_dim": 24,
    "num_layers": 3,
    "rope_max_seq_len": 32,
}
_COG = {
    "num_attention_heads": 3,
    "attention_head_dim": 16,
    "in_channels": 4,
    "out_channels": 4,
    "time_embed_dim": 8,
    "text_embed_dim": 6,
    "num_layers": 2,
    "sample_width": 6,
    "sample_height": 4,
    "sample_frames": 9,
    "max_text_seq_length": TEXT,
    "use_rotary_positional_embeddings": True,
}


def transformer(kind: str) -> nn.Module:
    """Return a transformer whose every path matters: what constructors set to zero or one is random, too."""
    torch.manual_seed(0)
    made: nn.Module
    if kind == "wan":
        made = WanTransformer3DModel(**_WAN)
    elif kind == "vace":
        made = WanVACETransformer3DModel(**_WAN, vace_layers=[0, 2], vace_in_channels=2 * 4 + 64)
    else:
        made = CogVideoXTransformer3DModel(**_COG, patch_size_t=2 if kind == "cogvideox-1.5" else None)
    for name, tensor in made.named_parameters():
        tensor.data += (0.3 if ".norm" in name or tensor.ndim == 1 else 0.1) * torch.randn(tensor.shape)
    return made.eval().requires_grad_(False)


def pipeline(folder: Path, kind: str) -> Path:
    """Write transformer/, vae/ and scheduler/ into `folder`."""
    transformer(kind).save_pretrained(folder / "transformer")
    if kind in ("wan", "vace"):
        mean, std = [0.1, 0.2, -0.1, 0.0], [1.0, 2.0, 0.5, 1.5]
        made: Any = AutoencoderKLWan(
            base_dim=4, z_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1, latents_mean=mean, latents_std=std
        )
        scheduler: Any = FlowMatchEulerDiscreteScheduler(shift=3.0)
    else:
        made = AutoencoderKLCogVideoX(
            block_out_channels=(4, 4, 4, 4), latent_channels=4, layers_per_block=1, norm_num_groups=2, scaling_factor=0.7
        )
        scheduler = CogVideoXDPMScheduler(prediction_type="v_prediction", rescale_betas_zero_snr=True)
    made.save_pretrained(folder / "vae")
    scheduler.save_pretrained(folder / "scheduler")
    return folder


def forward(kind: str, seed: int = 1, batch: int = 2, dtype: torch.dtype = torch.float64) -> dict[str, Any]:
    """Return arguments of a forward over 3x3x4 video tokens (2x3x4 where patches span two frames) and a prompt."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(batch, *shape, generator=generator, dtype=torch.float64).to(dtype)

    if kind in ("wan", "vace"):
        found = {"hidden_states": draw(4, 3, 6, 8), "encoder_hidden_states": draw(7, 8)}
        found["timestep"] = torch.full((batch,), 400.0)
        if kind == "vace":
            found["control_hidden_states"] = draw(72, 3, 6, 8)
        return found
    found = {"hidden_states": draw(4 if kind == "cogvideox-1.5" else 3, 4, 6, 8), "encoder_hidden_states": draw(TEXT, 6)}
    angles = torch.rand(2 * 12 if kind == "cogvideox-1.5" else 36, 8, generator=generator, dtype=torch.float64)
    angles = angles.repeat_interleave(2, dim=1).to(dtype)
    return found | {"timestep": torch.full((batch,), 400), "image_rotary_emb": (angles.cos(), angles.sin())}


def frames(t: int = 9, h: int = 40, w: int = 56, seed: int = 0) -> Tensor:
    """Return a clip of noise."""
    return torch.randint(0, 256, (t, 3, h, w), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
