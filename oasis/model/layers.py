"""Parts of the transformer: norms, rotary positions, timestep embedding, MLP, attention projections."""

import math

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from oasis.grid import Grid
from oasis.kept import kept

ROPE_BASE = 10_000.0


class RMSNorm(nn.Module):
    """Root-mean-square norm over the last axis; in Wan2.1 that axis holds all heads together, before the split."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x: Float[Tensor, "... c"]) -> Float[Tensor, "... c"]:
        """Normalise in at least float32 and return the input's dtype."""
        wide = x.to(_at_least_float32(x))
        return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)).to(x.dtype) * self.weight


class LayerNorm(nn.LayerNorm):
    """Layer norm that computes in at least float32, whatever the dtype of its input."""

    def forward(self, input: Float[Tensor, "... c"]) -> Float[Tensor, "... c"]:
        """Normalise the last axis and return the input's dtype."""
        wide = _at_least_float32(input)
        weight = None if self.weight is None else self.weight.to(wide)
        bias = None if self.bias is None else self.bias.to(wide)
        return F.layer_norm(input.to(wide), self.normalized_shape, weight, bias, self.eps).to(input.dtype)


class MLP(nn.Module):
    """Two linear layers with the tanh approximation of GELU between them."""

    def __init__(self, in_dim: int, hidden_dim: int, out_dim: int) -> None:
        super().__init__()
        self.up = nn.Linear(in_dim, hidden_dim)
        self.down = nn.Linear(hidden_dim, out_dim)

    def forward(self, x: Float[Tensor, "... i"]) -> Float[Tensor, "... o"]:
        """Map the last axis."""
        return self.down(F.gelu(self.up(x), approximate="tanh"))


class Projections(nn.Module):
    """Query, key, value and output projections of one attention, with norms on query and key."""

    def __init__(self, dim: int, heads: int, eps: float) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.output = nn.Linear(dim, dim)
        self.query_norm = RMSNorm(dim, eps)
        self.key_norm = RMSNorm(dim, eps)

    def project_query(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b heads n d"]:
        """Return normalised queries, split into heads."""
        return self._split(self.query_norm(self.query(x)))

    def project_key(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b heads n d"]:
        """Return normalised keys, split into heads."""
        return self._split(self.key_norm(self.key(x)))

    def project_value(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b heads n d"]:
        """Return values, split into heads."""
        return self._split(self.value(x))

    def join(self, x: Float[Tensor, "b heads n d"]) -> Float[Tensor, "b n c"]:
        """Concatenate the heads and apply the output projection."""
        return self.output(rearrange(x, "b heads n d -> b n (heads d)"))

    def _split(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b heads n d"]:
        return rearrange(x, "b n (heads d) -> b heads n d", heads=self.heads)

    @torch.no_grad()
    def permute_heads(self, order: tuple[int, ...]) -> None:
        """Reorder the heads in the weights so that new head i is old head `order[i]`; the layer's function stays.

        Rows of query, key and value and of both norms, columns of the output; the output's bias belongs to no head.
        """
        for rows in (
            *(linear.weight for linear in (self.query, self.key, self.value)),
            *(linear.bias for linear in (self.query, self.key, self.value)),
            self.query_norm.weight,
            self.key_norm.weight,
        ):
            split = rearrange(rows, "(heads d) ... -> heads d ...", heads=self.heads)[list(order)]
            rows.copy_(rearrange(split, "heads d ... -> (heads d) ..."))
        columns = rearrange(self.output.weight, "o (heads d) -> o heads d", heads=self.heads)[:, list(order)]
        self.output.weight.copy_(rearrange(columns, "o heads d -> o (heads d)"))


def rotary_table(grid: Grid, head_dim: int, like: Tensor) -> Float[Tensor, "2 n d"]:
    """Return cosines and sines of the rotary angle of every token and channel, as Wan2.1 defines them.

    Channels split into t, h, w shares of d - 4*(d//6), 2*(d//6), 2*(d//6), each with its own frequencies from position
    0 on; each frequency turns one neighbouring pair of channels. Angles are computed in float64. Tables are kept: a forward
    copies nothing from the processor, so that it can be captured in a CUDA graph.
    """
    return _kept_table(grid.t, grid.h, grid.w, head_dim, like.device, _at_least_float32(like))


# Evaluated, not traced; numbers, because a Grid made while tracing is none yet.
@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _kept_table(t: int, h: int, w: int, head_dim: int, device: torch.device, dtype: torch.dtype) -> Float[Tensor, "2 n d"]:
    return _rotary_table(Grid(t, h, w), head_dim, device, dtype)


@kept(4)
@torch.inference_mode(mode=False)  # a table that was first asked for in inference serves training, too
@torch.no_grad()
def _rotary_table(grid: Grid, head_dim: int, device: torch.device, dtype: torch.dtype) -> Float[Tensor, "2 n d"]:
    share = 2 * (head_dim // 6)
    angles = []
    for axis, (length, width) in enumerate(zip((grid.t, grid.h, grid.w), (head_dim - 2 * share, share, share), strict=True)):
        frequency = ROPE_BASE ** -(torch.arange(0, width, 2, dtype=torch.float64) / width)
        angle = torch.arange(length, dtype=torch.float64)[:, None] * frequency
        shape = ["t", "h", "w"]
        angles.append(repeat(angle, f"{shape[axis]} f -> (t h w) (f pair)", pair=2, t=grid.t, h=grid.h, w=grid.w))
    table = torch.cat(angles, dim=-1)
    return torch.stack([table.cos(), table.sin()]).to(device, dtype)


def rotate(x: Float[Tensor, "b heads n d"], table: Float[Tensor, "2 n d"]) -> Float[Tensor, "b heads n d"]:
    """Turn each pair of channels (2i, 2i+1) of every token by its angle."""
    even, odd = rearrange(x, "... (f pair) -> pair ... f", pair=2)
    turned = rearrange(torch.stack([-odd, even], dim=-1), "... f pair -> ... (f pair)")
    return (x * table[0] + turned * table[1]).to(x.dtype)


def timestep_embedding(timestep: Float[Tensor, "b"], width: int) -> Float[Tensor, "b width"]:
    """Return the sinusoid of a timestep (0..1000, may be fractional) in float64: cosines first, then sines."""
    half = width // 2
    frequency = ROPE_BASE ** -(torch.arange(half, dtype=torch.float64, device=timestep.device) / half)
    angle = timestep.to(torch.float64)[:, None] * frequency
    return torch.cat([angle.cos(), angle.sin()], dim=-1)


def collapsed_bias(tokens: int, padded: int, like: Tensor) -> Float[Tensor, "1 l"] | None:
    """Return the score bias that lets one key stand for `padded` equal keys behind `tokens` real ones: log(padded)."""
    if padded == 0:
        return None
    bias = torch.zeros(1, tokens + 1, dtype=like.dtype, device=like.device)
    bias[0, -1] = math.log(padded)
    return bias


def _at_least_float32(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)
