"""FlexAttention: one fused kernel for any mix of patterns. Compiled always; it runs or raises, and never falls back."""

import functools
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from oasis.cost import BLOCK, axes
from oasis.grid import Grid, cell_of
from oasis.kept import kept
from oasis.routing import Pattern

GRAPHS = 64
"""Compiled kernels of one process, one for each new shape; past it, compilation raises."""


def flex(
    q: Float[Tensor, "b heads n d"],
    k: Float[Tensor, "b heads n d"],
    v: Float[Tensor, "b heads n d"],
    patterns: Sequence[Pattern],
    grid: Grid,
) -> Float[Tensor, "b heads n d"]:
    """Return routed attention, one pattern per head, from one compiled kernel.

    The first call with a new shape compiles for up to a minute. ValueError where FlexAttention cannot run: gradients or
    float64 on the CPU, or no C++ compiler there; and for patterns with text tokens.
    """
    if any(pattern.text for pattern in patterns):
        raise ValueError("attention backend 'flex' takes no patterns with text tokens; use 'folded'")
    if q.device.type == "cpu":
        if q.dtype == torch.float64:
            raise ValueError("attention backend 'flex' takes no float64 on the CPU; allowed: float32, bfloat16, float16")
        if torch.is_grad_enabled() and any(x.requires_grad for x in (q, k, v)):
            raise ValueError("attention backend 'flex' has no gradients on the CPU; use 'folded', or torch.no_grad()")
    mask = block_mask(tuple(patterns), grid, q.device)
    # Past its limit of recompilations torch would silently run the unfused path, which holds all scores at once.
    with torch._dynamo.config.patch(fail_on_recompile_limit_hit=True, recompile_limit=GRAPHS):
        try:
            return _kernel()(q, k, v, block_mask=mask)
        except torch._inductor.exc.InductorError as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"attention backend 'flex' could not be compiled here: {reason}") from error


@kept(32)
def block_mask(patterns: tuple[Pattern, ...], grid: Grid, device: torch.device) -> BlockMask:
    """Return the blocks that each head needs, and the exact rule inside those that it needs only in part.

    A block row of queries is looked at a time, so that memory stays linear in tokens. Blocks that reach past the last
    token count as partial, because their missing keys must not be attended to.
    """
    cells, reach = _rules(patterns, grid, device)

    def allowed(b: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        seen = [(cells[head, axis, query] - cells[head, axis, key]).abs() <= reach[head, axis] for axis in range(3)]
        return seen[0] & seen[1] & seen[2]

    some = {}
    every = {}
    for pattern in set(patterns):
        head = patterns.index(pattern)
        some[pattern], every[pattern] = _needed_blocks(cells[head], reach[head])
    partial, full = (torch.stack([of[pattern] for pattern in patterns])[None] for of in (some, every))
    return BlockMask.from_kv_blocks(
        *_listed(partial & ~full),
        *_listed(full),
        BLOCK_SIZE=BLOCK,
        mask_mod=allowed,
        seq_lengths=(grid.tokens, grid.tokens),
    )


def _rules(
    patterns: Sequence[Pattern], grid: Grid, device: torch.device
) -> tuple[Int[Tensor, "heads 3 n"], Int[Tensor, "heads 3"]]:
    """Return every token's cell along the three axes for each head, and how far apart cells may be.

    All kinds of pattern are this one rule with other numbers; captured as tensors they share one compiled kernel.
    """
    token = torch.arange(grid.tokens, device=device)
    positions = (token // grid.frame, token % grid.frame // grid.w, token % grid.w)
    cells, reach = [], []
    for pattern in patterns:
        rules = axes(pattern, grid)
        numbers = [[cell_of(p, axis.size, axis.shift) for p in range(axis.length)] for axis in rules]
        cells.append(torch.stack([torch.tensor(n, device=device)[p] for n, p in zip(numbers, positions, strict=True)]))
        reach.append([axis.reach for axis in rules])
    return torch.stack(cells).int(), torch.tensor(reach, dtype=torch.int32, device=device)


def _needed_blocks(
    cells: Int[Tensor, "3 n"], reach: Int[Tensor, "3"]
) -> tuple[Bool[Tensor, "rows columns"], Bool[Tensor, "rows columns"]]:
    """Return which blocks hold some allowed pair, and which hold allowed pairs only."""
    tokens = cells.shape[1]
    count = -(-tokens // BLOCK)
    some, every = [], []
    for start in range(0, tokens, BLOCK):
        seen = torch.zeros(BLOCK, count * BLOCK, dtype=torch.bool, device=cells.device)
        rows = cells[:, start : start + BLOCK, None]
        seen[: rows.shape[1], :tokens] = ((rows - cells[:, None, :]).abs() <= reach[:, None, None]).all(dim=0)
        blocks = seen.unflatten(1, (count, BLOCK))
        some.append(blocks.any(dim=2).any(dim=0))
        every.append(blocks.all(dim=2).all(dim=0))
    return torch.stack(some), torch.stack(every)


def _listed(blocks: Bool[Tensor, "b heads rows columns"]) -> tuple[Int[Tensor, "b heads rows"], Int[Tensor, "..."]]:
    """Return how many blocks each row needs and their columns, those needed first, in order."""
    order = torch.argsort(blocks.int(), dim=-1, descending=True, stable=True)
    return blocks.sum(dim=-1, dtype=torch.int32), order.int()


@functools.cache
def _kernel() -> Callable[..., Tensor]:
    # Not dynamic: with a varying number of tokens the CPU template (torch 2.15) writes C++ that does not compile.
    return torch.compile(flex_attention, dynamic=False)
