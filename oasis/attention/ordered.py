"""Attention to tokens that lie in the order of a window's cells: heads of that window are views, heads of others gather.

`folded` has it the other way round: there tokens lie frame by frame, frames are views and windows are copied into their cells.
Which way copies less depends on how many heads a routing gives to either.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from oasis.attention import sdpa
from oasis.attention.cells import cells
from oasis.attention.folded import dense, fold, groups
from oasis.grid import Grid
from oasis.kept import kept
from oasis.routing import GLOBAL, Pattern


class Places(NamedTuple):
    """The number of the token at each place, and the place of each token."""

    order: Int[Tensor, "n"]
    back: Int[Tensor, "n"]


@kept(16)
def places(window: Pattern, grid: Grid, device: torch.device) -> Places:
    """Return where tokens lie in the order of a window's cells."""
    order = torch.from_numpy(cells(window, grid).order).to(device)
    return Places(order, order.argsort())


def window_of(patterns: Iterable[Pattern]) -> Pattern:
    """Return the one window among patterns; ValueError where there is none to order tokens by, or several."""
    windows = {pattern for pattern in patterns if pattern.kind == "window"}
    if len(windows) != 1:
        found = ", ".join(sorted(window.name for window in windows)) or "none"
        raise ValueError(f"attention backend 'ordered' needs one window for all window heads; this routing has {found}")
    return windows.pop()


def ordered(
    q: Float[Tensor, "b heads n d"],
    k: Float[Tensor, "b heads n d"],
    v: Float[Tensor, "b heads n d"],
    patterns: Sequence[Pattern],
    grid: Grid,
    window: Pattern,
) -> Float[Tensor, "b heads n d"]:
    """Return routed attention, one pattern per head; tokens come and go in the order of the cells of `window`."""
    parts = []
    for pattern, heads in groups(patterns):
        with sdpa.chosen(pattern):
            parts.append(_group(q[:, heads], k[:, heads], v[:, heads], pattern, grid, window))
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def _group(q: Tensor, k: Tensor, v: Tensor, pattern: Pattern, grid: Grid, window: Pattern) -> Float[Tensor, "b heads n d"]:
    if pattern == GLOBAL:
        return F.scaled_dot_product_attention(q, k, v)
    if pattern == window:
        return _cells(q, k, v, pattern, grid)
    order, back = places(window, grid, q.device)
    q, k, v = (x[:, :, back] for x in (q, k, v))
    return fold(dense, q, k, v, pattern, grid)[0][:, :, order]


def _cells(q: Tensor, k: Tensor, v: Tensor, window: Pattern, grid: Grid) -> Float[Tensor, "b heads n d"]:
    parts = []
    for run in cells(window, grid).runs:
        cut = "b heads (k l) d -> (b k) heads l d"
        queries, keys, values = (rearrange(x[:, :, run.tokens], cut, k=run.cells) for x in (q, k, v))
        out = F.scaled_dot_product_attention(queries, keys, values)
        parts.append(rearrange(out, "(b k) heads l d -> b heads (k l) d", k=run.cells))
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)
