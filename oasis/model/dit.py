"""The diffusion transformer of OASIS: Wan2.1's network with a pattern for every self-attention head.

Read from top to bottom. Source of the architecture: Wan-Video/Wan2.1, `wan/modules/model.py`; of the routing: OASIS,
arXiv 2509.23980, section "attention specialization routing".
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from oasis.attention import attend
from oasis.configs import DiTConfig
from oasis.grid import Grid
from oasis.model.layers import MLP, LayerNorm, Projections, collapsed_bias, rotary_table, rotate, timestep_embedding
from oasis.routing import GLOBAL, Pattern, RoutingTable
from oasis.sections import section

Probe = Callable[[int, Tensor, Tensor, Tensor], None]
"""Called once per layer with (layer, query, key, value), each "b heads n d", after the norms and the rotation."""


class Condition(NamedTuple):
    """What depends on timestep and prompt alone, for every layer; computed once when both are constants.

    `modulation` holds shift, scale and gate of the self-attention, then of the MLP; `head` shift and scale of the
    output; `key` and `value` those of the cross-attention, `bias` is added to its scores.
    """

    modulation: Float[Tensor, "layers six b 1 c"]
    head: Float[Tensor, "two b 1 c"]
    key: Float[Tensor, "layers b heads l d"]
    value: Float[Tensor, "layers b heads l d"]
    bias: Float[Tensor, "1 l"] | None


class Tokens:
    """The tokens of a clip, all of them on this process, frame by frame.

    `oasis.model.context` has those of which it holds a part, `oasis.model.ordering` those in another order.
    """

    own: slice | Int[Tensor, "own"] = slice(None)
    """Which tokens of the clip these are."""

    def __init__(self, grid: Grid, device: torch.device) -> None:
        self.grid = grid

    def attend(
        self,
        q: Float[Tensor, "b heads own d"],
        k: Float[Tensor, "b heads own d"],
        v: Float[Tensor, "b heads own d"],
        patterns: Sequence[Pattern],
        backend: str,
    ) -> Float[Tensor, "b heads own d"]:
        """Return self-attention of this process's tokens to those of the whole clip."""
        return attend(q, k, v, patterns, self.grid, backend=backend)

    def gather(self, x: Float[Tensor, "b own p"]) -> Float[Tensor, "b n p"]:
        """Return the tokens of the whole clip."""
        return x


class DiT(nn.Module):
    """Latent grid in, latent grid out, in one step."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_embedding = nn.Conv3d(config.in_channels, config.dim, config.patch, stride=config.patch)
        self.text_embedding = MLP(config.text_dim, config.dim, config.dim)
        self.time_embedding = TimeEmbedding(config)
        self.blocks = cast("Sequence[Block]", nn.ModuleList(Block(config) for _ in range(config.layers)))
        self.head = Head(config)
        self.patterns: tuple[tuple[Pattern, ...], ...] = ((GLOBAL,) * config.heads,) * config.layers
        self.head_order: tuple[tuple[int, ...], ...] = (tuple(range(config.heads)),) * config.layers
        self.backend = "folded"
        self.tokens_of: Callable[[Grid, torch.device], Tokens] = Tokens
        """Which tokens of a clip this process holds, in which order: all of them, frame by frame, unless it is changed."""
        self.checkpointing = False
        """Whether blocks are computed again in the backward pass, so that their activations need no memory until then."""

    def condition(
        self, timestep: Float[Tensor, "b"], context: Float[Tensor, "b l e"], *, padded: int | None = None
    ) -> Condition:
        """Compute everything that timestep (0..1000) and prompt embedding decide.

        Wan2.1 pads the prompt with zeros to `text_len` tokens and does not mask them. They are all equal, so one key
        with a bias of log(`padded`) stands for them exactly. `padded` defaults to `text_len` less the tokens given.
        """
        tokens = context.shape[1]
        padded = self.config.text_len - tokens if padded is None else padded
        if padded < 0:
            raise ValueError(f"the prompt has {tokens} tokens; allowed: at most {self.config.text_len}")
        if padded > 0:
            context = F.pad(context, (0, 0, 0, 1))
        text = self.text_embedding(context)
        time, modulation = self.time_embedding(timestep, like=context)
        return Condition(
            modulation=torch.stack([_modulate(block.modulation, modulation) for block in self.blocks]),
            head=_modulate(self.head.modulation, time[:, None]),
            key=torch.stack([block.cross_attention.project_key(text) for block in self.blocks]),
            value=torch.stack([block.cross_attention.project_value(text) for block in self.blocks]),
            bias=collapsed_bias(tokens, padded, like=text),
        )

    def grid(self, shape: Sequence[int]) -> Grid:
        """Return the token grid of an input whose last axes are t, h, w."""
        t, h, w = (length // patch for length, patch in zip(shape[-3:], self.config.patch, strict=True))
        return Grid(t, h, w)

    def forward(
        self, x: Float[Tensor, "b i t h w"], condition: Condition, *, probe: Probe | None = None
    ) -> Float[Tensor, "b o t h w"]:
        """Map a latent grid whose sides the patch divides; `probe` sees every layer and changes nothing."""
        if any(length % patch for length, patch in zip(x.shape[-3:], self.config.patch, strict=True)):
            raise ValueError(f"an input of {tuple(x.shape[-3:])} (t, h, w) does not split into patches of {self.config.patch}")
        if probe is not None and self.tokens_of is not Tokens:
            raise ValueError("a probe needs all tokens of a clip on one process in their usual order; this model's are not so")
        grid = self.grid(x.shape)
        x = self.embed(x, self.tokens_of(grid, x.device).own)
        x = self.through(range(self.config.layers), x, condition, grid, self.patterns, probe=probe)
        return self.output(x, condition, grid)

    def through(
        self,
        layers: range,
        x: Float[Tensor, "b n c"],
        condition: Condition,
        grid: Grid,
        patterns: Sequence[Sequence[Pattern]],
        *,
        probe: Probe | None = None,
    ) -> Float[Tensor, "b n c"]:
        """Take embedded tokens through some of the layers; `patterns` hold one per head of every layer of the network."""
        tokens = self.tokens_of(grid, x.device)
        rotation = rotary_table(grid, self.config.head_dim, like=x)[:, tokens.own]
        for layer in layers:
            block = self.blocks[layer]
            arguments = (self.of_layer(condition, layer), rotation, tokens, patterns[layer], self.backend, layer, probe)
            x = checkpoint(block, x, *arguments, use_reentrant=False) if self.checkpointing else block(x, *arguments)
        return x

    def output(self, x: Float[Tensor, "b n c"], condition: Condition, grid: Grid) -> Float[Tensor, "b o t h w"]:
        """Map the tokens behind the last layer to the latent grid."""
        return self._unpatch(self.tokens_of(grid, x.device).gather(self.head(x, condition.head)), grid)

    def embed(self, x: Float[Tensor, "b i t h w"], own: slice | Int[Tensor, "own"] = slice(None)) -> Float[Tensor, "b own c"]:
        """Cut into patches and embed those in `own`: a convolution whose stride is its kernel, done as one matrix product."""
        pt, ph, pw = self.config.patch
        patches = rearrange(x, "b i (t pt) (h ph) (w pw) -> b (t h w) (i pt ph pw)", pt=pt, ph=ph, pw=pw)
        return F.linear(patches[:, own], self.patch_embedding.weight.flatten(1), self.patch_embedding.bias)

    def route(self, table: RoutingTable) -> None:
        """Give every head its pattern, and reorder the heads in the weights so that equal patterns are neighbours.

        Reordering leaves the network's function as it is; `head_order` remembers where each head came from.
        """
        if len(table.layers) != self.config.layers or table.heads != self.config.heads:
            raise ValueError(
                f"the routing table has {len(table.layers)} layers of {table.heads} heads, "
                f"the model {self.config.layers} of {self.config.heads}"
            )
        if table.text:
            raise ValueError(f"the routing table has {table.text} text tokens; the model's self-attention sees the video alone")
        letters = sorted(table.patterns)
        patterns, head_order = [], []
        for layer, block in enumerate(self.blocks):
            wanted = [table.layers[layer][head] for head in self.head_order[layer]]
            order = tuple(sorted(range(self.config.heads), key=lambda head: letters.index(wanted[head])))
            block.self_attention.permute_heads(order)
            head_order.append(tuple(self.head_order[layer][head] for head in order))
            patterns.append(tuple(table.patterns[wanted[head]] for head in order))
        self.patterns, self.head_order = tuple(patterns), tuple(head_order)

    def of_layer(self, condition: Condition, layer: int) -> Condition:
        """Return what one block takes of the condition."""
        return Condition(
            condition.modulation[layer], condition.head, condition.key[layer], condition.value[layer], condition.bias
        )

    def _unpatch(self, x: Float[Tensor, "b n p"], grid: Grid) -> Float[Tensor, "b o t h w"]:
        pt, ph, pw = self.config.patch
        return rearrange(
            x,
            "b (t h w) (pt ph pw o) -> b o (t pt) (h ph) (w pw)",
            t=grid.t,
            h=grid.h,
            w=grid.w,
            pt=pt,
            ph=ph,
            pw=pw,
        )


class Block(nn.Module):
    """Routed self-attention over the clip, cross-attention to the prompt, MLP; each around a residual."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.modulation = nn.Parameter(torch.randn(1, 6, config.dim) / config.dim**0.5)
        self.self_norm = LayerNorm(config.dim, config.eps, elementwise_affine=False)
        self.self_attention = Projections(config.dim, config.heads, config.eps)
        self.cross_norm = LayerNorm(config.dim, config.eps)
        self.cross_attention = Projections(config.dim, config.heads, config.eps)
        self.mlp_norm = LayerNorm(config.dim, config.eps, elementwise_affine=False)
        self.mlp = MLP(config.dim, config.ffn_dim, config.dim)

    def forward(
        self,
        x: Float[Tensor, "b n c"],
        condition: Condition,
        rotation: Float[Tensor, "2 n d"],
        tokens: Tokens,
        patterns: Sequence[Pattern],
        backend: str,
        layer: int,
        probe: Probe | None,
    ) -> Float[Tensor, "b n c"]:
        """Apply the block; `condition` is this layer's slice."""
        query, key, value = self.project(x, condition, rotation)
        if probe is not None:
            probe(layer, query, key, value)
        with section("self-attention"):
            y = tokens.attend(query, key, value, patterns, backend)
        return self.add(x, y, condition)

    def project(
        self, x: Float[Tensor, "b n c"], condition: Condition, rotation: Float[Tensor, "2 n d"]
    ) -> tuple[Float[Tensor, "b heads n d"], Float[Tensor, "b heads n d"], Float[Tensor, "b heads n d"]]:
        """Return query, key and value of the self-attention, after the norms and the rotation."""
        shift, scale = condition.modulation[:2]
        y = self.self_norm(x) * (1 + scale) + shift
        query = rotate(self.self_attention.project_query(y), rotation)
        key = rotate(self.self_attention.project_key(y), rotation)
        return query, key, self.self_attention.project_value(y)

    def add(
        self, x: Float[Tensor, "b n c"], attended: Float[Tensor, "b heads n d"], condition: Condition
    ) -> Float[Tensor, "b n c"]:
        """Add what the heads of the self-attention found to the tokens, then cross-attention and MLP."""
        self_gate, mlp_shift, mlp_scale, mlp_gate = condition.modulation[2:]
        x = x + self.self_attention.join(attended) * self_gate

        with section("cross-attention"):
            query = self.cross_attention.project_query(self.cross_norm(x))
            x = x + self.cross_attention.join(_attend_prompt(query, condition))

        with section("mlp"):
            y = self.mlp_norm(x) * (1 + mlp_scale) + mlp_shift
            return x + self.mlp(y) * mlp_gate


class Head(nn.Module):
    """Modulated norm and the projection to patches of output channels."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        pt, ph, pw = config.patch
        self.modulation = nn.Parameter(torch.randn(1, 2, config.dim) / config.dim**0.5)
        self.norm = LayerNorm(config.dim, config.eps, elementwise_affine=False)
        self.projection = nn.Linear(config.dim, pt * ph * pw * config.out_channels)

    def forward(self, x: Float[Tensor, "b n c"], modulation: Float[Tensor, "two #b 1 c"]) -> Float[Tensor, "b n p"]:
        """Map tokens to patches."""
        shift, scale = modulation
        return self.projection(self.norm(x) * (1 + scale) + shift)


class TimeEmbedding(nn.Module):
    """Timestep to one vector for the head and six for the blocks."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.freq_dim = config.freq_dim
        self.up = nn.Linear(config.freq_dim, config.dim)
        self.down = nn.Linear(config.dim, config.dim)
        self.projection = nn.Linear(config.dim, 6 * config.dim)

    def forward(self, timestep: Float[Tensor, "b"], like: Tensor) -> tuple[Float[Tensor, "b c"], Float[Tensor, "b six c"]]:
        """Return the head's vector (before the activation) and the blocks' six, in the dtype of `like`."""
        time = self.down(F.silu(self.up(timestep_embedding(timestep, self.freq_dim).to(like.dtype))))
        return time, rearrange(self.projection(F.silu(time)), "b (six c) -> b six c", six=6)


def _modulate(table: Float[Tensor, "1 rows c"], vectors: Float[Tensor, "b #rows c"]) -> Float[Tensor, "rows b 1 c"]:
    return rearrange(table + vectors, "b rows c -> rows b 1 c")


def _attend_prompt(query: Float[Tensor, "b heads n d"], condition: Condition) -> Float[Tensor, "b heads n d"]:
    b, heads, _, d = query.shape
    key = condition.key.expand(b, heads, -1, d)
    value = condition.value.expand(b, heads, -1, d)
    bias = None if condition.bias is None else condition.bias.to(query.dtype)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
