"""One clip on several processes: each holds a part of the tokens, and all tokens of some heads while it attends.

Everything in the transformer but self-attention treats tokens one by one and needs nobody else. Around self-attention
two exchanges turn "all heads of my tokens" into "all tokens of my heads" and back, so that every pattern and backend runs
as it does on one process. The idea is that of DeepSpeed-Ulysses, arXiv 2309.14509; there heads are equal, here they are
dealt by what they cost.
"""

import functools
from collections.abc import Sequence
from typing import cast

import torch
import torch.distributed as dist
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from oasis.attention import attend
from oasis.cost import Backend, executed_pairs
from oasis.grid import Grid
from oasis.model.dit import Tokens
from oasis.model.oasis import Oasis
from oasis.routing import Pattern

Deal = tuple[tuple[int, ...], ...]
"""The heads of one layer that each process attends for."""


def spread(model: Oasis, group: dist.ProcessGroup) -> Oasis:
    """Let `model` share the tokens of every clip with the other processes of `group`, and return it.

    All processes must hold the same weights and routing and give the same clips; all get the same latents, equal to those of
    one process up to rounding. If one of them fails, the others wait until the group's timeout. What surrounds the
    transformer (skip, decoder) still runs as a whole: `Oasis.forward` decodes on every process, `Oasis.latents` on none. For
    inference; ValueError where gradients or a probe are wanted, where there are more processes than heads, or where tokens
    have an order of their own.
    """
    if model.dit.tokens_of is not Tokens:
        raise ValueError("processes share the tokens of a clip in their usual order; allowed: other backends than 'ordered'")
    heads = model.config.dit.heads
    if group.size() > heads:
        raise ValueError(
            f"model {model.config.name!r} has {heads} heads to deal to the processes that share a clip; "
            f"allowed: at most {heads} processes, got {group.size()}"
        )
    model.dit.tokens_of = functools.partial(Share, group=group)
    return model


class Share(Tokens):
    """A run of a clip's tokens on this process, the other runs on the other processes of `group`."""

    def __init__(self, grid: Grid, device: torch.device, group: dist.ProcessGroup) -> None:
        super().__init__(grid, device)
        self.group = group
        self.lengths = shares(grid.tokens, group.size())
        start = sum(self.lengths[: group.rank()])
        self.own = slice(start, start + self.lengths[group.rank()])

    def attend(
        self,
        q: Float[Tensor, "b heads own d"],
        k: Float[Tensor, "b heads own d"],
        v: Float[Tensor, "b heads own d"],
        patterns: Sequence[Pattern],
        backend: str,
    ) -> Float[Tensor, "b heads own d"]:
        """Return self-attention of this process's tokens to those of the whole clip; one exchange before it, one after."""
        dealt = deal(tuple(patterns), self.grid, self.group.size(), backend)
        mine = [patterns[head] for head in dealt[self.group.rank()]]
        q, k, v = self._to_heads(q, k, v, dealt)
        return self._to_tokens(attend(q, k, v, mine, self.grid, backend=backend), dealt)

    def gather(self, x: Float[Tensor, "b own p"]) -> Float[Tensor, "b n p"]:
        """Return the tokens of the whole clip, on every process."""
        _refuse_gradients(x)
        longest, missing = self.lengths[0], self.lengths[0] - x.shape[1]
        padded = F.pad(rearrange(x, "b own p -> own b p"), (0, 0, 0, 0, 0, missing)).contiguous()
        found = x.new_empty(self.group.size() * longest, *padded.shape[1:])
        dist.all_gather_into_tensor(found, padded, group=self.group)
        # Only the last shares are short, so all padding lies behind the last token.
        return rearrange(found[: self.grid.tokens], "n b p -> b n p")

    def _to_heads(self, q: Tensor, k: Tensor, v: Tensor, dealt: Deal) -> Float[Tensor, "3 b mine n d"]:
        """Give away this process's tokens by heads, and get all tokens of its own heads."""
        b, _, own, d = q.shape
        mine = 3 * len(dealt[self.group.rank()])
        sent = torch.stack([x[:, head] for heads in dealt for head in heads for x in (q, k, v)])
        received = self._exchange(
            rearrange(sent, "heads b own d -> (heads b own d)"),
            [3 * len(heads) * b * own * d for heads in dealt],
            [mine * b * length * d for length in self.lengths],
        )
        runs = [rearrange(part, "(heads b n d) -> heads b n d", heads=mine, b=b, d=d) for part in received]
        return rearrange(torch.cat(runs, dim=2), "(heads qkv) b n d -> qkv b heads n d", qkv=3)

    def _to_tokens(self, y: Float[Tensor, "b mine n d"], dealt: Deal) -> Float[Tensor, "b heads own d"]:
        """Give away what this process's heads found by tokens, and get what all heads found for its own tokens."""
        b, mine, _, d = y.shape
        own = self.lengths[self.group.rank()]
        received = self._exchange(
            rearrange(y, "b heads n d -> (n b heads d)"),
            [length * b * mine * d for length in self.lengths],
            [own * b * len(heads) * d for heads in dealt],
        )
        found: dict[int, Tensor] = {}
        for part, heads in zip(received, dealt, strict=True):
            columns = rearrange(part, "(own b heads d) -> heads own b d", b=b, heads=len(heads), d=d)
            found |= zip(heads, columns, strict=True)
        return rearrange(torch.stack([found[head] for head in sorted(found)], dim=2), "own b heads d -> b heads own d")

    def _exchange(self, sent: Float[Tensor, "_"], sizes: list[int], expected: list[int]) -> tuple[Tensor, ...]:
        """Send each process as many values as `sizes` says, and return what each has sent here."""
        _refuse_gradients(sent)
        received = sent.new_empty(sum(expected))
        dist.all_to_all_single(received, sent, output_split_sizes=expected, input_split_sizes=sizes, group=self.group)
        return received.split(expected)


def shares(tokens: int, processes: int) -> list[int]:
    """Return how many neighbouring tokens each process holds: as many as any other, except that the last have what is left."""
    longest = -(-tokens // processes)
    return [max(min(tokens - number * longest, longest), 0) for number in range(processes)]


@functools.lru_cache(maxsize=1024)
def deal(patterns: tuple[Pattern, ...], grid: Grid, processes: int, backend: str) -> Deal:
    """Return the heads of one layer that each process attends for, so that all have about as many pairs to multiply.

    The costliest head first, each to the process with the least to do so far, of those to the one with the fewest heads, then
    to the first. The longest part is at most 4/3 - 1/(3 `processes`) of the shortest possible (Graham 1969). Heads of a
    process stay in their order, so that equal patterns stay neighbours.
    """
    pairs = [executed_pairs(pattern, grid, cast("Backend", backend)) for pattern in patterns]
    dealt: list[list[int]] = [[] for _ in range(processes)]
    for head in sorted(range(len(patterns)), key=lambda head: -pairs[head]):
        min(dealt, key=lambda heads: (sum(pairs[other] for other in heads), len(heads))).append(head)
    return tuple(tuple(sorted(heads)) for heads in dealt)


def bytes_sent(dealt: Deal, grid: Grid, head_bytes: int) -> list[int]:
    """Return the bytes that each process sends to others in one layer; `head_bytes` are those of one head of one token.

    Queries, keys and values of its tokens for the heads of others, and what its heads found for the tokens of others. In all
    4 (1 - 1/p) n heads `head_bytes` where p processes share both evenly, so each sends less the more there are.
    """
    heads = sum(map(len, dealt))
    lengths = shares(grid.tokens, len(dealt))
    return [
        head_bytes * (3 * length * (heads - len(mine)) + (grid.tokens - length) * len(mine))
        for length, mine in zip(lengths, dealt, strict=True)
    ]


def _refuse_gradients(x: Tensor) -> None:
    if x.requires_grad:
        raise ValueError("gradients do not pass between processes that share a clip; allowed: torch.no_grad(), or one process")
