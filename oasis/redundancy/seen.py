"""What one dense forward shows: the stream behind every layer, and the output of every head."""

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from oasis.grid import Grid
from oasis.model.dit import DiT
from oasis.model.oasis import Oasis
from oasis.probe import token_grid


class Seen(NamedTuple):
    """`stream`: the tokens before the first layer and behind each. `heads`: what each head of a layer attended.

    Heads are in the order of the checkpoint.
    """

    grid: Grid
    latents: Float[Tensor, "1 c t4 h8 w8"]
    stream: list[Float[Tensor, "n c"]]
    heads: list[Float[Tensor, "n heads d"]]


@torch.inference_mode()
def watch(model: Oasis, lq: Float[Tensor, "1 3 t h w"]) -> Seen:
    """Run the network on one padded clip and keep what its layers say; memory is linear in tokens.

    AssertionError unless every layer was seen exactly once.
    """
    stream: list[Tensor] = []
    heads: list[Tensor] = []
    with _hooks(model.dit, stream, heads):
        latents = model.latents(lq)
    layers = model.config.dit.layers
    if (len(stream), len(heads)) != (layers + 1, layers):
        raise AssertionError(f"{len(stream)} streams and {len(heads)} layers of heads were seen, not {layers + 1} and {layers}")
    ordered = [x[:, torch.tensor(order).argsort()] for x, order in zip(heads, model.dit.head_order, strict=True)]
    return Seen(token_grid(model, lq), latents, stream, ordered)


@contextlib.contextmanager
def _hooks(dit: DiT, stream: list[Tensor], heads: list[Tensor]) -> Iterator[None]:
    def first(_: Any, arguments: tuple[Tensor, ...]) -> None:
        stream.append(arguments[0][0])

    def behind(_: Any, __: Any, output: Tensor) -> None:
        stream.append(output[0])

    def joined(_: Any, arguments: tuple[Tensor, ...]) -> None:
        heads.append(rearrange(arguments[0][0], "n (heads d) -> n heads d", heads=dit.config.heads))

    handles = [dit.blocks[0].register_forward_pre_hook(first)]
    for block in dit.blocks:
        handles.append(block.register_forward_hook(behind))
        handles.append(block.self_attention.output.register_forward_pre_hook(joined))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
