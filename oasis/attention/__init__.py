"""Routed self-attention: every head attends by its own pattern.

`masked` is the specification, `folded` the default, `flex` one fused kernel for any mix of patterns, `varlen` one launch for
all cells of a layer; `lse` serves the probe. All read the same queries, keys and values and return the heads in the order
they came.
"""

from collections.abc import Callable, Sequence

from jaxtyping import Float
from torch import Tensor

from oasis.attention.flex import flex
from oasis.attention.folded import folded, groups
from oasis.attention.masked import masked
from oasis.attention.varlen import varlen
from oasis.grid import Grid
from oasis.routing import Pattern

__all__ = ["BACKENDS", "attend", "groups"]

BACKENDS: dict[str, Callable[[Tensor, Tensor, Tensor, Sequence[Pattern], Grid], Tensor]] = {
    "masked": masked,
    "folded": folded,
    "flex": flex,
    "varlen": varlen,
}


def attend(
    q: Float[Tensor, "b heads n d"],
    k: Float[Tensor, "b heads n d"],
    v: Float[Tensor, "b heads n d"],
    patterns: Sequence[Pattern],
    grid: Grid,
    *,
    backend: str = "folded",
) -> Float[Tensor, "b heads n d"]:
    """Return attention with one pattern per head, scaled by 1/sqrt(d); the backend asked for runs or raises.

    n counts the patterns' text tokens, which come first, and the grid's.
    """
    if backend not in BACKENDS:
        raise ValueError(f"attention backend {backend!r} is unknown; allowed: {', '.join(BACKENDS)}")
    if q.shape[1] != len(patterns):
        raise ValueError(f"attention has {q.shape[1]} heads but {len(patterns)} patterns; one per head is needed")
    texts = sorted({pattern.text for pattern in patterns})
    if len(texts) > 1:
        raise ValueError(f"patterns have {texts[0]} and {texts[1]} text tokens; allowed: one number for all heads")
    if q.shape[2] != texts[0] + grid.tokens:
        beside = f" beside {texts[0]} text tokens" if texts[0] else ""
        raise ValueError(f"attention has {q.shape[2]} tokens but the grid {grid} has {grid.tokens}{beside}")
    return BACKENDS[backend](q, k, v, patterns, grid)
