"""The transformer's operations, layer by layer, as `oasis.model.dit` runs them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from oasis.configs import DiTConfig, OasisConfig
from oasis.cost.executed import Backend, Rectangle, Tile, executed_pairs, padded_pairs
from oasis.cost.operation import Operation, Work, linear, product, stored
from oasis.cost.pairs import attended_pairs
from oasis.grid import Grid
from oasis.routing import Pattern

SELF_ATTENTION = "self-attention scores and values"
CROSS_ATTENTION = "cross-attention scores and values"


def transformer(
    config: OasisConfig, grid: Grid, layers: Sequence[Sequence[Pattern]], backend: Backend, tile: Tile
) -> Iterator[Operation]:
    """Yield what every call runs, on a grid of tokens, with `layers` naming the pattern of every head."""
    dit, patch = config.dit, _patch(config.dit)
    width = dit.dim
    embedding = linear(grid.tokens, patch * dit.in_channels, width)
    yield Operation(phase="dit", part="patch embedding", work=embedding)
    for layer, patterns in enumerate(layers):

        def step(part: str, work: Work, detail: str = "", layer: int = layer) -> Operation:
            return Operation(phase="dit", part=part, layer=layer, detail=detail, work=work)

        projection = linear(grid.tokens, width, width)
        yield step("self-attention projections", projection.repeated(4) + stored(2 * width))
        for pattern, heads in Counter(patterns).items():
            yield step(SELF_ATTENTION, self_attention(pattern, heads, grid, dit.head_dim, backend, tile), pattern.name)
        yield step("cross-attention projections", projection.repeated(2) + stored(3 * width))
        yield step(CROSS_ATTENTION, cross_attention(dit, grid.tokens, prompt_keys(config), tile))
        yield step("mlp", linear(grid.tokens, width, dit.ffn_dim) + linear(grid.tokens, dit.ffn_dim, width))
    yield Operation(phase="dit", part="head", work=linear(grid.tokens, width, patch * dit.out_channels))


def setup(config: OasisConfig) -> Iterator[Operation]:
    """Yield what runs once, when timestep and prompt are folded into constants, and the parameters that only this needs."""
    dit, keys = config.dit, prompt_keys(config)
    width = dit.dim
    yield Operation(phase="setup", part="prompt", work=stored(config.prompt_tokens * dit.text_dim))
    yield Operation(phase="setup", part="text embedding", work=linear(keys, dit.text_dim, width) + linear(keys, width, width))
    time = linear(1, dit.freq_dim, width) + linear(1, width, width) + linear(1, width, 6 * width)
    yield Operation(phase="setup", part="time embedding", work=time)
    for layer in range(dit.layers):
        projections = linear(keys, width, width).repeated(2) + stored(width)
        yield Operation(phase="setup", part="cross-attention keys and values", layer=layer, work=projections)
        yield Operation(phase="setup", part="modulation", layer=layer, work=stored(6 * width))
    yield Operation(phase="setup", part="head modulation", work=stored(2 * width))


def self_attention(pattern: Pattern, heads: int, grid: Grid, d: int, backend: Backend, tile: Tile) -> Work:
    """Return the work of `heads` heads of width `d` with one pattern; only `masked` writes its scores to memory."""
    scores = 2 * grid.tokens**2 if backend == "masked" else 0
    return Work(
        dense=4 * d * heads * grid.tokens**2,
        useful=4 * d * heads * attended_pairs(pattern, grid),
        executed=4 * d * heads * executed_pairs(pattern, grid, backend, tile),
        activations=heads * (4 * d * grid.tokens + scores),
    )


def cross_attention(dit: DiTConfig, tokens: int, keys: int, tile: Tile) -> Work:
    """Return the work of all heads; keys and values are constants of the model, but are read in every call."""
    exact = product(2 * dit.dim * tokens * keys, activations=2 * dit.dim * (tokens + keys))
    return replace(exact, executed=4 * dit.dim * padded_pairs(Rectangle(tokens, keys), tile))


def prompt_keys(config: OasisConfig) -> int:
    """Return the keys of the cross-attention: the prompt's tokens, and one that stands for all padded ones."""
    return config.prompt_tokens + (config.prompt_tokens < config.dit.text_len)


def _patch(dit: DiTConfig) -> int:
    t, h, w = dit.patch
    return t * h * w
