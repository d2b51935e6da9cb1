"""How the heads of somebody else's transformer attend, who watches them, and whether every layer has run."""

import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from oasis.attention import attend
from oasis.grid import Grid
from oasis.model.dit import Probe
from oasis.routing import Pattern

_NO_FORWARD = Grid(1, 1, 1)


@dataclass(kw_only=True, eq=False)
class Heads:
    """What the processors of one transformer share: how its heads attend, who watches them, which layers have run.

    `layers`: names of the self-attention layers, in the order of their numbers. `patterns`: one for every head of every layer,
    in checkpoint order; None attends densely. `grid`: the video tokens of the forward in progress.
    """

    layers: tuple[str, ...]
    patterns: tuple[tuple[Pattern, ...], ...] | None = None
    backend: str = "folded"
    probe: Probe | None = None
    grid: Grid = _NO_FORWARD
    fired: list[int] = field(default_factory=list)
    undo: list[Callable[[], Any]] = field(default_factory=list)

    def attend(
        self,
        layer: int,
        q: Float[Tensor, "b heads n d"],
        k: Float[Tensor, "b heads n d"],
        v: Float[Tensor, "b heads n d"],
        *,
        text: int = 0,
    ) -> Float[Tensor, "b heads n d"]:
        """Show a layer to the probe and return its attention; of n tokens the first `text` are a prompt's."""
        self.fired.append(layer)
        if self.probe is not None:
            self.probe(layer, q, k, v)
        if self.patterns is None:
            return F.scaled_dot_product_attention(q, k, v)
        patterns = self.patterns[layer]
        if patterns[0].text != text:
            raise ValueError(f"the routing table has {patterns[0].text} text tokens, this call {text}; allowed: as many")
        # Heads of equal pattern share their calls where they are neighbours; the checkpoint's order is brought back.
        order = sorted(range(len(patterns)), key=lambda head: patterns[head].name)
        if order == sorted(order):
            return attend(q, k, v, patterns, self.grid, backend=self.backend)
        chosen = [patterns[head] for head in order]
        out = attend(q[:, order], k[:, order], v[:, order], chosen, self.grid, backend=self.backend)
        return out[:, [order.index(head) for head in range(len(order))]]

    def begin(self, grid: Grid) -> None:
        """Note that a forward over these video tokens begins."""
        self.grid = grid
        self.fired.clear()

    def end(self) -> None:
        """Raise ValueError unless every layer ran exactly once since `begin`."""
        wrong = [name for number, name in enumerate(self.layers) if self.fired.count(number) != 1]
        if wrong:
            version = importlib.metadata.version("diffusers")
            raise ValueError(
                f"the self-attention of {wrong[0]} ran {self.fired.count(self.layers.index(wrong[0]))} times in one forward,"
                f" not once ({len(wrong)} of {len(self.layers)} layers); diffusers {version} cannot be measured or routed so"
            )
