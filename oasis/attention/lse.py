"""Log-sum-exps and expectations of attention for the probe; query blocks, never a matrix of all queries and keys."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from jaxtyping import Bool, Float
from torch import Tensor

from oasis.attention.folded import fold
from oasis.grid import Grid
from oasis.routing import Pattern

CPU_BLOCK = 240_000
"""Probabilities at a time on a CPU: one megabyte in float32, so that three such blocks stay in the cores' caches."""
CUDA_BLOCK = 64_000_000
"""Probabilities at a time on a GPU: all heads of some queries, enough to fill it."""
LEAST = -80.0
"""Logarithms of probabilities stop here: denormal numbers made a peaked head fourteen times slower, e^-80 adds nothing."""
PLAIN_ROWS = 256


class Attended(NamedTuple):
    """Attention's output and the natural logarithm of the sum of its exponentials, each query."""

    out: Float[Tensor, "b heads n d"]
    lse: Float[Tensor, "b heads n"]


class Expectations(NamedTuple):
    """What every query's full attention distribution says, and how frames look at frames.

    `entropy` is in nats, `dist_t` the mean of |dt| in latent frames, `dist_xy` the mean of sqrt(dy^2 + dx^2) in tokens,
    `self_mass` the probability of the query's own token; `frame_mass` is the mass that goes to a key frame (last axis),
    averaged over the queries of a frame.
    """

    entropy: Float[Tensor, "b heads n"]
    dist_t: Float[Tensor, "b heads n"]
    dist_xy: Float[Tensor, "b heads n"]
    self_mass: Float[Tensor, "b heads n"]
    frame_mass: Float[Tensor, "b heads t t"]


@torch.no_grad()
def attention_lse(
    q: Float[Tensor, "b heads n d"],
    k: Float[Tensor, "b heads m d"],
    v: Float[Tensor, "b heads m d"],
    mask: Bool[Tensor, "n m"] | None = None,
) -> Attended:
    """Return attention and its log-sum-exp from the fused kernel of the device.

    On the CPU (every dtype) it is the kernel that `scaled_dot_product_attention` takes, so `out` has the same bits. On
    CUDA, 16-bit inputs without a mask take the flash kernel and float32 or a mask the memory-efficient one; float64,
    which no fused kernel takes there, is written out in query blocks. Other devices raise ValueError.
    """
    bias = None if mask is None else torch.zeros(mask.shape, dtype=q.dtype, device=q.device).masked_fill_(~mask, -torch.inf)
    if q.device.type == "cpu":
        out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v, attn_mask=bias)
        return Attended(out, lse)
    if q.device.type != "cuda":
        raise ValueError(f"no attention kernel with log-sum-exps for device {q.device.type!r}; allowed: cpu, cuda")
    if q.dtype == torch.float64:
        return attention_lse_plain(q, k, v, mask)
    if bias is None and q.dtype in (torch.float16, torch.bfloat16):
        # The kernel takes widths that are multiples of 8; zeros change no score, but the scale must stay the true one.
        d = q.shape[-1]
        q, k, v = (F.pad(x, (0, -d % 8)) for x in (q, k, v))
        out, lse, *_ = torch.ops.aten._scaled_dot_product_flash_attention(q, k, v, scale=d**-0.5)
        return Attended(out[..., :d], lse)
    if bias is not None:
        # The kernel reads the bias in aligned runs: rows are laid out in multiples of 16 and cut back to their length.
        m = bias.shape[-1]
        bias = F.pad(bias, (0, -m % 16))[:, :m].expand(*q.shape[:2], -1, -1)
    out, lse, *_ = torch.ops.aten._scaled_dot_product_efficient_attention(q, k, v, bias, True)
    return Attended(out, lse[..., : q.shape[2]])  # the kernel pads the queries' axis to a multiple of 32


@torch.no_grad()
def attention_lse_plain(
    q: Float[Tensor, "b heads n d"],
    k: Float[Tensor, "b heads m d"],
    v: Float[Tensor, "b heads m d"],
    mask: Bool[Tensor, "n m"] | None = None,
) -> Attended:
    """Return the same as `attention_lse`, written out in query blocks: its specification."""
    outs, lses = [], []
    for start in range(0, q.shape[2], PLAIN_ROWS):
        rows = slice(start, start + PLAIN_ROWS)
        scores = torch.einsum("bhid,bhjd->bhij", q[:, :, rows], k) / q.shape[-1] ** 0.5
        if mask is not None:
            scores.masked_fill_(~mask[rows], -torch.inf)
        lse = scores.logsumexp(-1)
        outs.append(torch.einsum("bhij,bhjd->bhid", (scores - lse[..., None]).exp(), v))
        lses.append(lse)
    return Attended(torch.cat(outs, dim=2), torch.cat(lses, dim=2))


def pattern_lse(
    q: Float[Tensor, "b heads n d"],
    k: Float[Tensor, "b heads n d"],
    v: Float[Tensor, "b heads n d"],
    pattern: Pattern,
    grid: Grid,
) -> Attended:
    """Return the attention of all heads under one pattern, and the log-sum-exps over each query's key set.

    n counts the pattern's text tokens, which come first, and the grid's.
    """

    def inner(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        out, lse = attention_lse(q, k, v, mask)
        return out, rearrange(lse, "b heads n -> b heads n 1")

    # Cutting into windows copies; on a CPU the copies of one head at a time stay in cache and in memory already mapped.
    step = 1 if q.device.type == "cpu" and pattern.kind == "window" else q.shape[1]
    parts = []
    for start in range(0, q.shape[1], step):
        heads = slice(start, start + step)
        parts.append(fold(inner, q[:, heads], k[:, heads], v[:, heads], pattern, grid))
    out, lse = parts[0] if len(parts) == 1 else (torch.cat(column, dim=1) for column in zip(*parts, strict=True))
    return Attended(out, rearrange(lse, "b heads n 1 -> b heads n"))


@torch.no_grad()
def expectations(
    q: Float[Tensor, "b heads n d"], k: Float[Tensor, "b heads n d"], lse: Float[Tensor, "b heads n"], grid: Grid
) -> Expectations:
    """Return the statistics of every query's attention over all keys, exactly, in one pass over blocks of queries.

    `lse` is that of the full attention, as `attention_lse` gives it. 16-bit inputs are worked on in float32.
    """
    batch, _, tokens, d = q.shape
    precision = torch.promote_types(q.dtype, torch.float32)
    q, k = (rearrange(x.to(precision), "b heads n d -> (b heads) n d") for x in (q, k))
    lse = rearrange(lse.to(precision), "b heads n -> (b heads) n 1")
    # log P_ij = q_i.k_j / sqrt(d) - lse_i is the one product (q_i / sqrt(d), -lse_i).(k_j, 1).
    keys = F.pad(rearrange(k, "z (t f) d -> t z d f", t=grid.t), (0, 0, 0, 1), value=1.0)
    entropy, self_mass, dist_xy = q.new_zeros(3, len(q), tokens)
    mass = q.new_empty(len(q), tokens, grid.t)
    space = _positions(grid, q)
    budget, width = (CUDA_BLOCK, len(q)) if q.device.type == "cuda" else (CPU_BLOCK, 1)
    size = max(16, budget // (width * grid.frame))
    for rows in (slice(start, start + size) for start in range(0, tokens, size)):
        apart = torch.cdist(space[rows], space[: grid.frame], compute_mode="donot_use_mm_for_euclid_dist")
        # Buffers are reused, because fresh memory costs the CPU more than the arithmetic.
        log_p, p, spread = apart.new_empty(3, width, *apart.shape)
        for heads in (slice(start, start + width) for start in range(0, len(q), width)):
            scaled = q[heads, rows] * d**-0.5
            self_mass[heads, rows] = ((scaled * k[heads, rows]).sum(-1) - lse[heads, rows, 0]).exp()
            queries = torch.cat([scaled, -lse[heads, rows]], dim=-1)
            spread.zero_()
            for frame in range(grid.t):
                torch.bmm(queries, keys[frame, heads], out=log_p)
                torch.exp(log_p.clamp_(min=LEAST), out=p)
                torch.sum(p, dim=-1, out=mass[heads, rows, frame])
                entropy[heads, rows] -= log_p.mul_(p).sum(-1)
                spread.add_(p)
            dist_xy[heads, rows] = spread.mul_(apart).sum(-1)

    offset = torch.arange(grid.t, device=q.device)
    away = (offset[:, None] - offset[None, :]).abs().to(mass.dtype)
    dist_t = rearrange(torch.einsum("ztfu,tu->ztf", mass.unflatten(1, (grid.t, grid.frame)), away), "z t f -> z (t f)")
    frame_mass = reduce(mass, "(b heads) (t f) u -> b heads t u", "mean", b=batch, t=grid.t)
    entropy, dist_t, dist_xy, self_mass = (
        rearrange(x, "(b heads) n -> b heads n", b=batch) for x in (entropy, dist_t, dist_xy, self_mass)
    )
    return Expectations(entropy, dist_t, dist_xy, self_mass, frame_mass)


@torch.no_grad()
def query_row(q: Float[Tensor, "b heads n d"], k: Float[Tensor, "b heads n d"], index: int) -> Float[Tensor, "b heads n"]:
    """Return the probabilities with which the query token `index` attends to every key."""
    return (torch.einsum("bhd,bhjd->bhj", q[:, :, index], k) / q.shape[-1] ** 0.5).softmax(-1)


def _positions(grid: Grid, like: Tensor) -> Float[Tensor, "n 2"]:
    token = torch.arange(grid.tokens, device=like.device) % grid.frame
    return torch.stack([token // grid.w, token % grid.w], dim=-1).to(like.dtype)
