"""Tokens in the order of a window's cells, once for a whole forward: put so after the embedding, and back before the output.

All that treats tokens one by one does not notice, and their rotary angles go with them.
"""

import functools
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from oasis.attention.ordered import ordered, places, window_of
from oasis.grid import Grid
from oasis.model.dit import Tokens
from oasis.model.oasis import Oasis
from oasis.routing import Pattern

ORDERED = "ordered"


def attend_by(model: Oasis, backend: str) -> Oasis:
    """Let a routed model attend by a backend: one of `oasis.attention`, or `ordered`; return the model.

    ValueError where `ordered` finds no window to order tokens by, or several.
    """
    if backend == ORDERED:
        window = window_of(pattern for patterns in model.dit.patterns for pattern in patterns)
        model.dit.tokens_of = functools.partial(Ordered, window=window)
    model.dit.backend = backend
    return model


class Ordered(Tokens):
    """The tokens of a clip in the order of the cells of `window`."""

    def __init__(self, grid: Grid, device: torch.device, window: Pattern) -> None:
        super().__init__(grid, device)
        self.window = window
        self.own, self.back = places(window, grid, device)

    def attend(
        self,
        q: Float[Tensor, "b heads n d"],
        k: Float[Tensor, "b heads n d"],
        v: Float[Tensor, "b heads n d"],
        patterns: Sequence[Pattern],
        backend: str,
    ) -> Float[Tensor, "b heads n d"]:
        """Return self-attention in this order."""
        if backend != ORDERED:
            raise ValueError(f"attention backend {backend!r} does not know this order of tokens; allowed: {ORDERED}")
        return ordered(q, k, v, patterns, self.grid, self.window)

    def gather(self, x: Float[Tensor, "b n p"]) -> Float[Tensor, "b n p"]:
        """Return the tokens frame by frame, row by row."""
        return x[:, self.back]
