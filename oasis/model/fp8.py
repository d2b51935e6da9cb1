"""Linear layers in 8-bit floating point: four exponent bits, three of mantissa, with a scale for every row.

`Rounded` is the specification and runs everywhere: round weights and activations to fp8, then multiply. `Scaled` is the fast
path, one product of fp8 numbers by the device's own units.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from oasis.model.dit import Block
from oasis.model.oasis import Oasis

LARGEST = 448.0
"""The largest number of float8_e4m3fn."""
CAPABILITY = (8, 9)
"""The first CUDA devices that multiply fp8."""
MULTIPLE = 16
"""What `torch._scaled_mm` wants the sides of a weight to be multiples of."""


class Quantised(NamedTuple):
    """Numbers in fp8, and what each row of them is to be multiplied with: the last axis is a row."""

    values: Float[Tensor, "*rows c"]
    scale: Float[Tensor, "*rows 1"]


def quantised(x: Float[Tensor, "*rows c"]) -> Quantised:
    """Return the nearest fp8 numbers under scales, in float32, that map the largest of each row to the largest of fp8."""
    wide = x.to(torch.float32)
    scale = (wide.abs().amax(dim=-1, keepdim=True) / LARGEST).clamp(min=torch.finfo(torch.float32).tiny)
    return Quantised((wide / scale).to(torch.float8_e4m3fn), scale)


class Linear(nn.Module):
    """What both kinds of layer hold: weights in fp8 with a scale for each output, and the bias as it was."""

    weight: Float[Tensor, "o i"]
    scale: Float[Tensor, "o 1"]

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight, scale = quantised(linear.weight.detach())
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale)
        self.bias = linear.bias


class Rounded(Linear):
    """The specification: weights and every token's activations rounded to fp8, then an ordinary product in float32."""

    def forward(self, x: Float[Tensor, "*rows i"]) -> Float[Tensor, "*rows o"]:
        """Map the last axis; what comes out has the dtype of `x`."""
        rows = quantised(x)
        product = F.linear(rows.values.float() * rows.scale, self.weight.float() * self.scale, self.bias.float())
        return product.to(x.dtype)


class Scaled(Linear):
    """The fast path, through `torch._scaled_mm`; for inference in bfloat16."""

    def forward(self, x: Float[Tensor, "*rows i"]) -> Float[Tensor, "*rows o"]:
        """Map the last axis; bfloat16 comes out."""
        rows = quantised(x.flatten(0, -2))
        product = torch._scaled_mm(
            rows.values,
            self.weight.t(),  # column by column, as the units want it
            scale_a=rows.scale,
            scale_b=self.scale.t(),
            bias=self.bias,
            out_dtype=torch.bfloat16,
        )
        return product.unflatten(0, x.shape[:-1])


def use(model: Oasis) -> Oasis:
    """Put the linear layers of every block into fp8, and return `model`, which then stays on its device and in its dtype.

    Queries, keys, values and outputs of self-attention, queries and outputs of cross-attention (its keys and values are
    constants), and the MLP. ValueError where there are no units for it, in other dtypes than bfloat16, and for sides that are
    no multiples of 16.
    """
    device, dtype = model.prompt.device, model.prompt.dtype
    if device.type != "cuda" or torch.cuda.get_device_capability(device) < CAPABILITY:
        found = device.type if device.type != "cuda" else torch.cuda.get_device_name(device)
        wanted = ".".join(map(str, CAPABILITY))
        raise ValueError(f"fp8 needs a CUDA device of compute capability {wanted} or more, and this model is on {found}")
    if dtype != torch.bfloat16:
        name = str(dtype).removeprefix("torch.")
        raise ValueError(f"fp8 layers give bfloat16, and this model computes in {name}; allowed: bfloat16")
    sides = {model.config.dit.dim, model.config.dit.ffn_dim}
    if any(side % MULTIPLE for side in sides):
        raise ValueError(
            f"model {model.config.name!r} has layers of {', '.join(map(str, sorted(sides)))} channels; "
            f"allowed in fp8: multiples of {MULTIPLE}"
        )
    return replace(model, Scaled)


def replace(model: Oasis, kind: Callable[[nn.Linear], Linear]) -> Oasis:
    """Replace the linear layers of every block, and return `model`."""
    for block in model.dit.blocks:
        for parent, name in _places(block):
            setattr(parent, name, kind(getattr(parent, name)))
    return model


def used(model: Oasis) -> bool:
    """Return whether a model's layers are in fp8."""
    return any(isinstance(part, Linear) for part in model.dit.modules())


def _places(block: Block) -> list[tuple[nn.Module, str]]:
    return [
        *((block.self_attention, name) for name in ("query", "key", "value", "output")),
        *((block.cross_attention, name) for name in ("query", "output")),
        *((block.mlp, name) for name in ("up", "down")),
    ]
