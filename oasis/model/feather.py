"""Tiles that overlap, and the weights that mix them."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from oasis.tiling import starts


class Span(NamedTuple):
    """Where a tile lies along one axis, from `start` up to but without `stop`."""

    start: int
    stop: int

    def scaled(self, factor: int) -> slice:
        """Return the places of the span on an axis so many times as long."""
        return slice(self.start * factor, self.stop * factor)


def spans(length: int, size: int, overlap: int) -> list[Span]:
    """Return tiles of `size` that cover `length` and share at least `overlap`; ValueError if they share half or more."""
    if overlap < 0 or size < 2 * overlap + 1:
        raise ValueError(f"tiles of {size} cannot share {overlap}; allowed: less than half")
    return [Span(start, min(start + size, length)) for start in starts(length, size, overlap)]


def feather(span: Span, length: int, overlap: int, factor: int) -> Float[Tensor, "s"]:
    """Return a tile's weights along an axis of `length`, each place of which stands for `factor` pixels.

    They rise and fall linearly over `overlap` places, but not at the ends of the axis; nowhere are they zero.
    """
    weights = torch.ones((span.stop - span.start) * factor)
    shared = overlap * factor
    if shared and span.start > 0:
        weights[:shared] = rising(shared)
    if shared and span.stop < length:
        weights[-shared:] = rising(shared).flip(0)
    return weights


def rising(length: int) -> Float[Tensor, "s"]:
    """Return weights that rise linearly and reach neither 0 nor 1."""
    return (torch.arange(length) + 1) / (length + 1)
