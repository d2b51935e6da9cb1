"""The default fast path: fold tokens into cells of equal size, one dense attention per pattern group and cell size."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Bool, Float
from torch import Tensor

from oasis.attention import sdpa
from oasis.cost import Axis, axes
from oasis.grid import Grid, bands
from oasis.routing import Pattern

Inner = Callable[[Tensor, Tensor, Tensor, Tensor | None], tuple[Tensor, ...]]
"""Dense attention on q, k, v ("b heads n d") and a mask ("n m" or None), returning tensors "b heads n x"."""


class Span(NamedTuple):
    """Queries along one axis, the keys that they see, and into how many equal cells both are cut."""

    queries: slice
    keys: slice
    cells: int


def folded(
    q: Float[Tensor, "b heads n d"],
    k: Float[Tensor, "b heads n d"],
    v: Float[Tensor, "b heads n d"],
    patterns: Sequence[Pattern],
    grid: Grid,
) -> Float[Tensor, "b heads n d"]:
    """Return routed attention, one pattern per head; neighbouring heads of equal pattern share their calls."""
    parts = []
    for pattern, heads in groups(patterns):
        with sdpa.chosen(pattern):
            parts.append(fold(dense, q[:, heads], k[:, heads], v[:, heads], pattern, grid)[0])
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def groups(patterns: Sequence[Pattern]) -> list[tuple[Pattern, slice]]:
    """Return the runs of equal neighbours: each pattern with the slice of heads that use it."""
    # Not itertools.groupby, which torch.compile cannot trace.
    begins = [head for head in range(len(patterns)) if head == 0 or patterns[head] != patterns[head - 1]]
    return [(patterns[start], slice(start, stop)) for start, stop in zip(begins, [*begins[1:], len(patterns)], strict=True)]


def fold(inner: Inner, q: Tensor, k: Tensor, v: Tensor, pattern: Pattern, grid: Grid) -> tuple[Tensor, ...]:
    """Apply `inner` to every set of queries that share their keys, and put its results back in token order.

    Cells go into the batch. A pattern that slides over frames or rows takes one call per frame or row, with a slice of
    the keys; one that slides over columns adds a mask over columns, so that memory stays linear in tokens. Text keys join
    those of every cell, and text queries take one call with all keys.
    """
    if pattern.text:
        text = slice(pattern.text)
        dense = inner(q[:, :, text], k, v, None)
        joined = (k[:, :, text], v[:, :, text])
        q, k, v = (x[:, :, pattern.text :] for x in (q, k, v))
        video = _fold(inner, q, k, v, joined, pattern, grid)
        return tuple(torch.cat(parts, dim=2) for parts in zip(dense, video, strict=True))
    return _fold(inner, q, k, v, None, pattern, grid)


def _fold(
    inner: Inner, q: Tensor, k: Tensor, v: Tensor, text: tuple[Tensor, Tensor] | None, pattern: Pattern, grid: Grid
) -> tuple[Tensor, ...]:
    along_t, along_h, along_w = axes(pattern, grid)
    q, k, v = (rearrange(x, "b heads (t h w) d -> b heads t h w d", t=grid.t, h=grid.h) for x in (q, k, v))
    columns = _columns(along_w, q.device) if along_w.reach else None
    frames = []
    for t in _spans(along_t):
        rows = []
        for h in _spans(along_h):
            cells = [_cells(inner, q, k, v, text, t, h, w, columns) for w in _whole_or_spans(along_w)]
            rows.append(_join(cells, dim=4))
        frames.append(_join(rows, dim=3))
    return tuple(rearrange(x, "b heads t h w d -> b heads (t h w) d") for x in _join(frames, dim=2))


def _cells(
    inner: Inner,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    text: tuple[Tensor, Tensor] | None,
    t: Span,
    h: Span,
    w: Span,
    columns: Bool[Tensor, "w w"] | None,
) -> tuple[Tensor, ...]:
    cut = "b heads (i t) (j h) (k w) d -> (b i j k) heads (t h w) d"
    cells = {"i": t.cells, "j": h.cells, "k": w.cells}
    queries = q[:, :, t.queries, h.queries, w.queries]
    sizes = {"t": queries.shape[2] // t.cells, "h": queries.shape[3] // h.cells, "w": queries.shape[4] // w.cells}
    keys, values = (rearrange(x[:, :, t.keys, h.keys, w.keys], cut, **cells) for x in (k, v))
    mask = None
    if columns is not None:
        above = keys.shape[2] // columns.shape[1]
        mask = repeat(columns, "q k -> (rows q) (above k)", rows=sizes["t"] * sizes["h"], above=above)
    if text is not None:
        everywhere = (repeat(x, "b heads l d -> (b i j k) heads l d", **cells) for x in text)
        keys, values = (torch.cat(pair, dim=2) for pair in zip(everywhere, (keys, values), strict=True))
        mask = None if mask is None else F.pad(mask, (text[0].shape[2], 0), value=True)
    found = inner(rearrange(queries, cut, **cells), keys, values, mask)
    back = "(b i j k) heads (t h w) d -> b heads (i t) (j h) (k w) d"
    return tuple(rearrange(x, back, **cells, **sizes) for x in found)


def _spans(axis: Axis) -> list[Span]:
    if axis.reach:
        reach = axis.reach
        return [Span(slice(p, p + 1), slice(max(p - reach, 0), p + reach + 1), 1) for p in range(axis.length)]
    found = []
    for band in bands(axis.length, axis.size, axis.shift):
        inside = slice(band.start, band.stop)
        found.append(Span(inside, inside, band.cells))
    return found


def _whole_or_spans(axis: Axis) -> list[Span]:
    return [Span(slice(None), slice(None), 1)] if axis.reach else _spans(axis)


def _columns(axis: Axis, device: torch.device) -> Bool[Tensor, "w w"]:
    position = torch.arange(axis.length, device=device)
    return (position[:, None] - position[None, :]).abs() <= axis.reach


def _join(parts: list[tuple[Tensor, ...]], dim: int) -> tuple[Tensor, ...]:
    return parts[0] if len(parts) == 1 else tuple(torch.cat(column, dim) for column in zip(*parts, strict=True))


def dense(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> tuple[Tensor]:
    """Attend to every key, or to those that the mask leaves."""
    return (F.scaled_dot_product_attention(q, k, v, attn_mask=mask),)
