"""Networks of a few thousand weights, every one of them random."""

from typing import Any, TypeVar

import torch
from torch import nn

from oasis.configs import DiTConfig, OasisConfig, VAEConfig, unshuffled_channels

M = TypeVar("M", bound=nn.Module)
SMALL_VAE = VAEConfig(kind="small", channels=6, width=8, blocks=1)
WAN_VAE = VAEConfig(kind="wan", channels=16, width=8, blocks=1)


def small_dit(**changes: Any) -> DiTConfig:
    sizes: dict[str, Any] = dict(in_channels=12, out_channels=6, dim=48, heads=4, layers=2, ffn_dim=64, patch=(1, 2, 2))
    sizes |= dict(text_dim=10, text_len=9, freq_dim=16)
    return DiTConfig(**(sizes | changes))


def small_oasis(
    scale: int = 4, *, patch: tuple[int, int, int] = (1, 2, 2), skip: bool = True, vae: VAEConfig = SMALL_VAE
) -> OasisConfig:
    dit = small_dit(in_channels=unshuffled_channels(scale), out_channels=vae.channels, patch=patch)
    return OasisConfig(name="small", scale=scale, dit=dit, vae=vae, timestep=399.0, prompt_tokens=3, skip=skip)


def randomised(module: M, seed: int = 0) -> M:
    """Draw every weight, norms and zero-initialised ones included, at a size that keeps activations near one."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in module.state_dict().items():
        noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
        if tensor.ndim > 1:
            noise /= tensor[0].numel() ** 0.5
        tensor.copy_(1 + 0.3 * noise if name.endswith(("norm.weight", "gamma", "std")) else noise)
    return module.eval()
