"""Wan2.1 with a few thousand random weights on disk, as its authors and as diffusers store it, and the preset that fits."""

import json
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from oasis.configs import OasisConfig
from oasis.model.dit import DiT
from oasis.model.naming import decoder_names, dit_names, rename
from oasis.model.wan_decoder import WAN_MEAN, WAN_STD
from oasis.train.encoder import official_name
from oasis.train.presets import PRESETS, Preset

_WAN = PRESETS["wan-1.3b"]
SMALL = replace(
    _WAN.config,
    dit=replace(_WAN.config.dit, dim=24, heads=2, layers=2, ffn_dim=32, text_dim=12, text_len=10, freq_dim=8),
    vae=replace(_WAN.config.vae, width=8, blocks=1),
    prompt_tokens=2,
)


def preset(config: OasisConfig = SMALL) -> Preset:
    return replace(_WAN, config=config, family="moderate")


def transformer(seed: int = 1) -> DiT:
    """Return a transformer that reads latents, as Wan2.1's does."""
    torch.manual_seed(seed)
    dit = DiT(replace(SMALL.dit, in_channels=16))
    for tensor in dit.state_dict().values():
        tensor.add_(0.1 * torch.randn(tensor.shape))
    return dit


def vae_state(seed: int = 2) -> dict[str, Tensor]:
    """Return a whole VAE under diffusers' names."""
    from diffusers import AutoencoderKLWan

    torch.manual_seed(seed)
    return AutoencoderKLWan(base_dim=SMALL.vae.width, z_dim=16, num_res_blocks=SMALL.vae.blocks).state_dict()


def official(folder: Path) -> Path:
    """Write the official folder: both networks in one place, the VAE as .pth."""
    folder.mkdir()
    dit, vae = transformer(), vae_state()
    names = rename(dit.state_dict(), dit_names(dit.config), "ours", "official")
    save_file(
        {names[name]: tensor for name, tensor in dit.state_dict().items()}, folder / "diffusion_pytorch_model.safetensors"
    )
    decoder = [name for name in vae if name.startswith(("decoder.", "post_quant_conv."))]
    names = rename(decoder, decoder_names(SMALL.vae), "diffusers", "official")
    torch.save({names.get(name, official_name(name)): tensor for name, tensor in vae.items()}, folder / "Wan2.1_VAE.pth")
    config = {"_class_name": "WanModel", "model_type": "t2v", "num_heads": 2, "eps": 1e-6, "text_len": 10}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def diffusers(folder: Path) -> Path:
    """Write a pipeline folder of diffusers, its transformer in two shards."""
    dit = transformer()
    names = rename(dit.state_dict(), dit_names(dit.config), "ours", "diffusers")
    state = {names[name]: tensor for name, tensor in dit.state_dict().items()}
    stem = "diffusion_pytorch_model"
    shards = {f"{stem}-0000{n + 1}-of-00002.safetensors": sorted(state)[n::2] for n in range(2)}
    for part in ("transformer", "vae"):
        (folder / part).mkdir(parents=True)
    for file, held in shards.items():
        save_file({name: state[name] for name in held}, folder / "transformer" / file)
    index = {"metadata": {"total_size": 1}, "weight_map": {name: file for file, held in shards.items() for name in held}}
    (folder / "transformer" / f"{stem}.safetensors.index.json").write_text(json.dumps(index))
    config = {"_class_name": "WanTransformer3DModel", "num_attention_heads": 2, "patch_size": [1, 2, 2], "eps": 1e-6}
    (folder / "transformer" / "config.json").write_text(json.dumps(config))
    save_file(vae_state(), folder / "vae" / f"{stem}.safetensors")
    config = {"_class_name": "AutoencoderKLWan", "latents_mean": list(WAN_MEAN), "latents_std": list(WAN_STD)}
    (folder / "vae" / "config.json").write_text(json.dumps(config))
    return folder
