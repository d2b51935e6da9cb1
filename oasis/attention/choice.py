"""Which dense backend `folded` attention prefers for each pattern, by measurement on the shapes of its calls."""

from collections import Counter
from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Tensor

from oasis.attention import sdpa
from oasis.attention.folded import groups
from oasis.cost import folded_calls
from oasis.grid import Grid
from oasis.routing import Pattern


@torch.no_grad()
def choose(layers: Sequence[Sequence[Pattern]], grid: Grid, d: int, like: Tensor) -> dict[Pattern, str]:
    """Return for each pattern the dense backend that is the fastest on the call in which `folded` does most of its work.

    `layers` holds a pattern per head; `like` has the device and dtype. On the CPU there is one backend and nothing is timed.
    Masks, of patterns that slide over columns, are left out: a backend that takes none is then not the one that runs.
    """
    heads: dict[Pattern, Counter[int]] = {}
    for patterns in layers:
        for pattern, run in groups(patterns):
            heads.setdefault(pattern, Counter())[run.stop - run.start] += 1
    if like.device.type != "cuda":
        return dict.fromkeys(heads, sdpa.PLAIN)
    found = {}
    for pattern, counts in heads.items():
        usual = max(counts, key=lambda number: (counts[number], number))
        found[pattern], _ = sdpa.fastest(*inputs(pattern, grid, usual, d, like))
    return found


def inputs(pattern: Pattern, grid: Grid, heads: int, d: int, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return random queries, keys and values of the costliest call of a pattern, laid out as projections leave them."""
    calls = folded_calls(pattern, grid)
    costliest = max(calls, key=lambda call: (call.queries * call.keys * calls[call], call))
    generator = torch.Generator(like.device).manual_seed(0)

    def draw(tokens: int) -> Tensor:
        shape = (calls[costliest], tokens, heads, d)
        drawn = torch.randn(shape, generator=generator, device=like.device, dtype=like.dtype)
        return rearrange(drawn, "b n heads d -> b heads n d")

    return draw(costliest.queries), draw(costliest.keys), draw(costliest.keys)
