"""The dense forward of one clip, kept, so that a change of heads is run from the layer where it begins."""

from collections.abc import Mapping

import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor

from oasis.attention import attend
from oasis.grid import Grid
from oasis.model.dit import Condition
from oasis.model.layers import rotary_table
from oasis.model.oasis import Oasis
from oasis.model.unshuffle import crop_clip, pad_clip, unshuffle
from oasis.probe import as_input, token_grid
from oasis.routing import GLOBAL, Pattern

Changes = Mapping[tuple[int, int], Pattern]
"""The pattern of every changed head, by (layer, head)."""


class Layer:
    """Queries, keys and values of one layer of the dense forward, and what its heads found."""

    def __init__(self, model: Oasis, layer: int, x: Float[Tensor, "1 n c"], condition: Condition, grid: Grid) -> None:
        self.number, self.grid, self.backend = layer, grid, model.dit.backend
        rotation = rotary_table(grid, model.config.dit.head_dim, like=x)
        self.query, self.key, self.value = model.dit.blocks[layer].project(x, condition, rotation)
        self.found = self.attend(range(model.config.dit.heads), GLOBAL)

    def attend(self, heads: range, pattern: Pattern) -> Float[Tensor, "1 heads n d"]:
        """Return what neighbouring heads find under one pattern."""
        part = slice(heads.start, heads.stop)
        q, k, v = self.query[:, part], self.key[:, part], self.value[:, part]
        return attend(q, k, v, (pattern,) * len(heads), self.grid, backend=self.backend)


class Dense:
    """A dense network's forward of one clip: `latents`, and the input of every layer to begin again from.

    Memory: the inputs are layers x tokens x width numbers, so linear in tokens, and for one layer at a time its queries, keys,
    values and outputs. ValueError if the network is routed.
    """

    def __init__(self, model: Oasis, frames: UInt8[Tensor, "t 3 h w"]) -> None:
        if any(pattern != GLOBAL for layer in model.dit.patterns for pattern in layer):
            raise ValueError("the model is routed; only in a dense model can heads be changed one at a time")
        self.model, self.size = model, (frames.shape[0], frames.shape[2], frames.shape[3])
        self.lq = as_input(model, frames)
        self.grid = token_grid(model, self.lq)
        with torch.inference_mode():
            self.folded = unshuffle(self.lq, model.config.scale)
            self.condition = model.condition()
            self.inputs = [model.dit.embed(self.folded)]
            for layer in range(model.config.dit.layers):
                self.inputs.append(self._through(range(layer, layer + 1), self.inputs[-1], model.dit.patterns))
            self.latents = self._latents(self.inputs.pop())
        self._layer: Layer | None = None

    def layer(self, number: int) -> Layer:
        """Return what attention of one layer saw and found; that of the layer last asked for is kept."""
        if self._layer is None or self._layer.number != number:
            self._layer = None  # before the next is made: there is never memory for two
            condition = self.model.dit.of_layer(self.condition, number)
            with torch.inference_mode():
                self._layer = Layer(self.model, number, self.inputs[number], condition, self.grid)
        return self._layer

    @torch.inference_mode()
    def changed(self, changes: Changes) -> Float[Tensor, "1 c t4 h8 w8"]:
        """Return the latents with some heads' patterns changed, without running what lies before the first of them.

        In that layer only the changed heads are computed again. On a processor the result has the bits of a whole forward of
        the network so changed, heads in the checkpoint's order; a routed one, reordered, adds in another order.
        """
        first = min(layer for layer, _ in changes)
        layer = self.layer(first)
        found = layer.found.clone()
        for (number, head), pattern in changes.items():
            if number == first:
                found[:, head] = layer.attend(range(head, head + 1), pattern)[:, 0]
        dit = self.model.dit
        x = dit.blocks[first].add(self.inputs[first], found, dit.of_layer(self.condition, first))
        return self._latents(self._through(range(first + 1, len(dit.blocks)), x, patterns_under(self.model, changes)))

    @torch.inference_mode()
    def pixels(self, latents: Float[Tensor, "1 c t4 h8 w8"]) -> Float[Tensor, "t 3 y x"]:
        """Return the upscaled clip of latents in [0, 1], as large as the network gives it, not rounded to 8 bits."""
        clip = crop_clip(self.model.decode(latents, self.lq), self.size, self.model.config.scale).clamp(-1, 1)
        return (rearrange(clip, "1 c t y x -> t c y x") + 1) / 2

    def _through(self, layers: range, x: Tensor, patterns: tuple[tuple[Pattern, ...], ...]) -> Tensor:
        return self.model.dit.through(layers, x, self.condition, self.grid, patterns)

    def _latents(self, x: Tensor) -> Tensor:
        return self.model.around(self.folded, self.model.dit.output(x, self.condition, self.grid))


def patterns_under(model: Oasis, changes: Changes) -> tuple[tuple[Pattern, ...], ...]:
    """Return the pattern of every head, layer by layer, of a dense network with some of them changed."""
    sizes = model.config.dit
    return tuple(tuple(changes.get((layer, head), GLOBAL) for head in range(sizes.heads)) for layer in range(sizes.layers))


def common_grid(model: Oasis, clips: Mapping[str, UInt8[Tensor, "t 3 h w"]]) -> Grid:
    """Return the token grid of all clips; ValueError if they differ, as their statistics could not be averaged."""
    grids = {}
    for name, frames in clips.items():
        padded = pad_clip(frames[None].transpose(1, 2).float(), model.config.scale, model.config.dit.patch).clip
        grids[name] = token_grid(model, padded)
    (first, grid), *others = grids.items()
    for name, other in others:
        if other != grid:
            raise ValueError(
                f"clip {name!r} has a token grid of {other} (t, h, w), clip {first!r} of {grid}; all clips need the same "
                "(--frames and --crop cut them)"
            )
    return grid
