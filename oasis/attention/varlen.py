"""All cells of all heads of a layer in one launch: sequences of different length, packed behind each other.

Global heads stay dense calls on what is there already; the tokens of all others are gathered cell by cell, the longest first,
so that no head waits for the end of another's kernel. The kernel is torch's `varlen_attn`, on CUDA in 16 bits.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from oasis.attention import sdpa
from oasis.attention.cells import cells, divides
from oasis.attention.folded import groups
from oasis.grid import Grid
from oasis.kept import kept
from oasis.routing import GLOBAL, Pattern

Inner = Callable[[Tensor, Tensor, Tensor, Tensor, int], Tensor]
"""Attention inside sequences: q, k, v "rows 1 d", where sequences begin and end ("sequences+1"), and the longest's length."""
MULTIPLE = 8
"""What the kernels want the width of a head to be a multiple of."""


class Packing(NamedTuple):
    """Which rows of "(b n heads)" are packed, and where in them each row of "(b n packed_heads)" lies; their sequences."""

    taken: Int[Tensor, "rows"]
    back: Int[Tensor, "rows"]
    bounds: Int[Tensor, "sequences+1"]
    longest: int


def varlen(
    q: Float[Tensor, "b heads n d"],
    k: Float[Tensor, "b heads n d"],
    v: Float[Tensor, "b heads n d"],
    patterns: Sequence[Pattern],
    grid: Grid,
) -> Float[Tensor, "b heads n d"]:
    """Return routed attention, one pattern per head; all heads but global ones from one launch.

    ValueError on other devices than CUDA, in other dtypes than bfloat16 and float16, for heads whose width is no multiple of
    8, and for patterns that slide or hold text tokens.
    """
    if any(pattern.text for pattern in patterns):
        raise ValueError("attention backend 'varlen' takes no patterns with text tokens; use 'folded'")
    if not q.is_cuda or q.dtype not in (torch.bfloat16, torch.float16):
        dtype = str(q.dtype).removeprefix("torch.")
        raise ValueError(
            f"attention backend 'varlen' runs on CUDA in bfloat16 and float16, and this is {dtype} on {q.device.type}"
        )
    if q.shape[-1] % MULTIPLE:
        raise ValueError(f"attention backend 'varlen' takes heads whose width is a multiple of 8, got {q.shape[-1]}")
    return packed(_launch, q, k, v, patterns, grid)


def packed(
    inner: Inner,
    q: Float[Tensor, "b heads n d"],
    k: Float[Tensor, "b heads n d"],
    v: Float[Tensor, "b heads n d"],
    patterns: Sequence[Pattern],
    grid: Grid,
) -> Float[Tensor, "b heads n d"]:
    """Return routed attention by one call of `inner` for all heads that are not global, and a dense call for those."""
    sliding = [pattern.name for pattern in patterns if not divides(pattern, grid)]
    if sliding:
        raise ValueError(f"attention backend 'varlen' takes patterns that divide the grid into cells, not {sliding[0]}")
    local = tuple(pattern for pattern in patterns if pattern != GLOBAL)
    found = _local(inner, q, k, v, tuple(patterns), grid) if local else q[:, :0]
    parts, taken = [], 0
    for pattern, heads in groups(patterns):
        if pattern == GLOBAL:
            with sdpa.chosen(GLOBAL):
                parts.append(F.scaled_dot_product_attention(q[:, heads], k[:, heads], v[:, heads]))
        else:
            parts.append(found[:, taken : taken + heads.stop - heads.start])
            taken += heads.stop - heads.start
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def _local(
    inner: Inner, q: Tensor, k: Tensor, v: Tensor, patterns: tuple[Pattern, ...], grid: Grid
) -> Float[Tensor, "b local n d"]:
    packing = packing_of(patterns, grid, q.shape[0], q.device)
    q, k, v = (rearrange(x, "b heads n d -> (b n heads) 1 d")[packing.taken] for x in (q, k, v))
    out = inner(q, k, v, packing.bounds, packing.longest)[packing.back]
    return rearrange(out, "(b n heads) 1 d -> b heads n d", n=grid.tokens, heads=len(patterns) - patterns.count(GLOBAL))


@kept(64)
def packing_of(patterns: tuple[Pattern, ...], grid: Grid, batch: int, device: torch.device) -> Packing:
    """Return how all cells of all heads that are not global are packed, for every clip of a batch; the longest first."""
    heads = [head for head, pattern in enumerate(patterns) if pattern != GLOBAL]
    clips = np.arange(batch)[:, None] * grid.tokens
    sequences: list[tuple[np.ndarray, np.ndarray]] = []  # rows of "(b n heads)", and of "(b n packed_heads)"
    for place, head in enumerate(heads):
        order, runs = cells(patterns[head], grid)
        tokens = clips + order
        for run in runs:
            for cell in tokens[:, run.tokens].reshape(batch * run.cells, run.size):
                sequences.append((cell * len(patterns) + head, cell * len(heads) + place))
    sequences.sort(key=lambda rows: -len(rows[0]))
    taken, places = (np.concatenate(column) for column in zip(*sequences, strict=True))
    lengths = [len(rows) for rows, _ in sequences]
    bounds = np.cumsum([0, *lengths])
    rows, back = (torch.from_numpy(numbers).to(device) for numbers in (taken, np.argsort(places)))
    return Packing(rows, back, torch.from_numpy(bounds).to(device, torch.int32), max(lengths))


def _launch(q: Tensor, k: Tensor, v: Tensor, bounds: Tensor, longest: int) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn  # registers operators, which nobody else needs

    out = varlen_attn(q, k, v, bounds, bounds, longest, longest)
    assert isinstance(out, Tensor)
    return out
