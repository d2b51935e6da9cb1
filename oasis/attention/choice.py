"""Which dense backend `folded` attention prefers for each pattern, by measurement on the shapes of its calls."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from oasis.attention import sdpa
from oasis.attention.folded import fold, groups
from oasis.grid import Grid
from oasis.routing import Pattern


class Call(NamedTuple):
    """What a dense call gets."""

    q: Float[Tensor, "b heads n d"]
    k: Float[Tensor, "b heads m d"]
    v: Float[Tensor, "b heads m d"]
    mask: Bool[Tensor, "n m"] | None


@torch.no_grad()
def choose(layers: Sequence[Sequence[Pattern]], grid: Grid, d: int, like: Tensor) -> dict[Pattern, str]:
    """Return for each pattern the dense backend that is the fastest on the costliest call that `folded` makes for it.

    `layers` holds a pattern per head; `like` has the device and dtype. On the CPU there is one backend and nothing is timed.
    """
    heads = usual(layers)
    if like.device.type != "cuda":
        return dict.fromkeys(heads, sdpa.PLAIN)
    return {pattern: sdpa.fastest(*costliest(pattern, grid, heads[pattern], d, like))[0] for pattern in heads}


def usual(layers: Sequence[Sequence[Pattern]]) -> dict[Pattern, int]:
    """Return how many heads share a call of each pattern in most layers, the larger number where two are as frequent."""
    counts: dict[Pattern, Counter[int]] = {}
    for patterns in layers:
        for pattern, run in groups(patterns):
            counts.setdefault(pattern, Counter())[run.stop - run.start] += 1
    return {pattern: max(found.items(), key=lambda item: (item[1], item[0]))[0] for pattern, found in counts.items()}


def costliest(pattern: Pattern, grid: Grid, heads: int, d: int, like: Tensor) -> Call:
    """Return the call of a pattern that multiplies the most pairs, on random tokens laid out as a projection leaves them."""
    generator = torch.Generator(like.device).manual_seed(0)
    shape = (3, 1, grid.tokens, heads, d)
    drawn = torch.randn(shape, generator=generator, device=like.device, dtype=like.dtype)
    found: Call | None = None

    def keep(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> tuple[Tensor]:
        nonlocal found
        if found is None or _pairs(q, k) > _pairs(found.q, found.k):
            found = Call(q, k, v, mask)
        return (q,)

    q, k, v = rearrange(drawn, "qkv b n heads d -> qkv b heads n d")
    fold(keep, q, k, v, pattern, grid)
    assert found is not None
    return found


def _pairs(q: Tensor, k: Tensor) -> int:
    return q.shape[0] * q.shape[2] * k.shape[2]
