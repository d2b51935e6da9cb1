"""Layers, and parts of them, left out one at a time."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, get_args

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from oasis.model.dit import Block
from oasis.model.oasis import Oasis
from oasis.redundancy.effects import Output, effect, output
from oasis.redundancy.rows import Part, Skip


def rows(
    model: Oasis,
    clip: str,
    frames: UInt8[Tensor, "t 3 h w"],
    truth: UInt8[Tensor, "t 3 y x"] | None,
    whole: Output,
    stream: list[Float[Tensor, "n c"]],
    tick: Callable[[], Any],
) -> Iterator[Skip]:
    """Yield what skipping every layer and every part changes; `whole` and `stream` are the whole network's."""
    for layer, block in enumerate(model.dit.blocks):
        added = (stream[layer + 1] - stream[layer]).norm() / stream[layer].norm()
        for part in get_args(Part):
            with skipped(block, part):
                found = effect(whole, output(model, frames), truth)
            tick()
            update = float(added) if part == "layer" else None
            yield Skip(clip=clip, layer=layer, part=part, update_rel=update, **found._asdict())


@contextlib.contextmanager
def skipped(block: Block, part: Part) -> Iterator[None]:
    """Let the whole block, or one part of it, add nothing to the stream until the block ends."""
    places: dict[Part, nn.Module] = {
        "layer": block,
        "self-attention": block.self_attention.output,
        "cross-attention": block.cross_attention.output,
        "mlp": block.mlp,
    }
    handle = places[part].register_forward_hook(_unchanged if part == "layer" else _nothing)
    try:
        yield
    finally:
        handle.remove()


def _unchanged(_: Any, arguments: tuple[Tensor, ...], __: Tensor) -> Tensor:
    return arguments[0]


def _nothing(_: Any, __: Any, added: Tensor) -> Tensor:
    return torch.zeros_like(added)
