"""The specification of routed attention: one dense mask per head. For tests and small grids."""

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from oasis.grid import Grid
from oasis.routing import Pattern


def pattern_mask(pattern: Pattern, grid: Grid, device: torch.device | str = "cpu") -> Bool[Tensor, "n n"]:
    """Return which keys (columns) each query (row) may attend to, by comparing the tokens' coordinates.

    Text tokens come first; n is the number of text and video tokens.
    """
    if pattern.text:
        video = pattern_mask(replace(pattern, text=0), grid, device)
        return F.pad(video, (pattern.text, 0, pattern.text, 0), value=True)
    token = torch.arange(grid.tokens, device=device)
    frame = token // grid.frame
    row = token % grid.frame // grid.w
    column = token % grid.w

    def apart(position: Tensor) -> Tensor:
        return (position[:, None] - position[None, :]).abs()

    match pattern:
        case Pattern(kind="global"):
            return torch.ones(grid.tokens, grid.tokens, dtype=torch.bool, device=device)
        case Pattern(kind="frame"):
            return apart(frame) == 0
        case Pattern(kind="window", size=(height, width), shifts=(down, right)):
            return (apart((row + down) // height) == 0) & (apart((column + right) // width) == 0)
        case Pattern(kind="neighbour", frames=int(reach)):
            return apart(frame) <= reach
        case Pattern(kind="sliding", radius=(height, width)):
            return (apart(row) <= height) & (apart(column) <= width)
    raise AssertionError(f"no mask for {pattern}")


def masked(
    q: Float[Tensor, "b heads n d"],
    k: Float[Tensor, "b heads n d"],
    v: Float[Tensor, "b heads n d"],
    patterns: Sequence[Pattern],
    grid: Grid,
) -> Float[Tensor, "b heads n d"]:
    """Return softmax(mask + q k^T / sqrt(d)) v, one pattern per head, written out; memory is quadratic in tokens."""
    masks = {pattern: pattern_mask(pattern, grid, q.device) for pattern in patterns}
    scores = torch.einsum("bhid,bhjd->bhij", q, k) / q.shape[-1] ** 0.5
    allowed = torch.stack([masks[pattern] for pattern in patterns])
    return torch.einsum("bhij,bhjd->bhid", scores.masked_fill(~allowed, -torch.inf).softmax(-1), v)
