"""What a pattern changes inside a layer, head by head, exactly and without a matrix of all queries and keys."""

from collections.abc import Iterator, Sequence

import torch
from einops import einsum, rearrange
from jaxtyping import Float
from torch import Tensor

from oasis.attention.lse import pattern_lse
from oasis.causality.dense import Dense
from oasis.harms import Change
from oasis.routing import parse_pattern


@torch.inference_mode()
def changes(dense: Dense, clip: str, number: int, patterns: Sequence[str]) -> Iterator[Change]:
    """Yield a row for each head of a layer and each pattern."""
    layer = dense.layer(number)
    block = dense.model.dit.blocks[number]
    gate = dense.model.dit.of_layer(dense.condition, number).modulation[2]
    heads = dense.model.config.dit.heads
    columns = rearrange(block.self_attention.output.weight, "c (heads d) -> heads c d", heads=heads)
    tokens = _root_mean_square(dense.inputs[number])
    for name in patterns:
        local = pattern_lse(layer.query, layer.key, layer.value, parse_pattern(name), dense.grid)
        difference = layer.found - local.out
        for head in range(heads):
            own = difference[:, head]
            written = einsum(own, columns[head], "b n d, c d -> b n c") * gate
            yield Change(
                clip=clip,
                layer=number,
                head=head,
                pattern=name,
                out_change=_root_mean_square(own),
                write_change=_root_mean_square(written) / tokens,
            )


def _root_mean_square(vectors: Float[Tensor, "b n c"]) -> float:
    """Return the root of the mean over tokens of their squared length."""
    return float(vectors.double().square().sum(dim=-1).mean().sqrt())
