"""Linear CKA between all heads and all layers of one forward, from the products of their features alone."""

from collections.abc import Iterator, Sequence

import torch
from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor

from oasis.redundancy.rows import Of, Similarity
from oasis.redundancy.seen import Seen


def cka(one: Float[Tensor, "n a d"], other: Float[Tensor, "n b e"]) -> Float[Tensor, "a b"]:
    """Return the linear CKA of every feature set of `one` with every one of `other`, 0..1.

    |Y'X|^2 / (|X'X| |Y'Y|) in Frobenius norms, columns centred over the n tokens (Kornblith et al., ICML 2019). Needs products
    of features, never one of tokens with tokens: memory and time are linear in n. Feature sets that are constant give 0.
    """
    one, other = (x - x.mean(0) for x in (one, other))
    cross = _squared(one, other)
    own = torch.stack([_squared(part[:, None], part[:, None])[0, 0] for part in one.unbind(1)])
    theirs = torch.stack([_squared(part[:, None], part[:, None])[0, 0] for part in other.unbind(1)])
    scale = (own[:, None] * theirs).sqrt()
    return torch.where(scale > 0, cross / scale.clamp_min(torch.finfo(scale.dtype).tiny), 0.0)


def rows(clip: str, seen: Seen, *, seed: int) -> Iterator[Similarity]:
    """Yield the similarity of every two heads, of every two layers' streams and of what every two layers add."""
    generator = torch.Generator().manual_seed(seed)
    shuffled = torch.randperm(seen.stream[0].shape[0], generator=generator).to(seen.stream[0].device)
    heads = [(layer, head) for layer, found in enumerate(seen.heads) for head in range(found.shape[1])]
    yield from _pairs(clip, "head", seen.heads, heads, shuffled)
    layers = [(layer, None) for layer in range(len(seen.stream) - 1)]
    yield from _pairs(clip, "stream", [x[:, None] for x in seen.stream[1:]], layers, shuffled)
    added = [(after - before)[:, None] for before, after in zip(seen.stream, seen.stream[1:], strict=False)]
    yield from _pairs(clip, "update", added, layers, shuffled)


def _pairs(
    clip: str, of: Of, features: Sequence[Tensor], names: Sequence[tuple[int, int | None]], shuffled: Tensor
) -> Iterator[Similarity]:
    """Yield the upper triangle, a layer against a layer at a time, so that no product of all features is held."""
    wide = [x.to(torch.promote_types(x.dtype, torch.float32)) for x in features]
    found = torch.cat([torch.cat([cka(a, b) for b in wide], dim=1) for a in wide]).tolist()
    null = torch.cat([torch.cat([cka(a, b[shuffled]) for b in wide], dim=1) for a in wide]).tolist()
    for i, (layer, head) in enumerate(names):
        for j, (other_layer, other_head) in enumerate(names[:i]):
            yield Similarity(
                clip=clip,
                of=of,
                layer=layer,
                head=head,
                other_layer=other_layer,
                other_head=other_head,
                cka=found[i][j],
                null=null[i][j],
            )


def _squared(one: Float[Tensor, "n a d"], other: Float[Tensor, "n b e"]) -> Float[Tensor, "a b"]:
    """Return the squared Frobenius norm of every product X'Y."""
    product = rearrange(one, "n a d -> (a d) n") @ rearrange(other, "n b e -> n (b e)")
    split = product.unflatten(0, one.shape[1:]).unflatten(2, other.shape[1:])
    return reduce(split.double().square(), "a d b e -> a b", "sum")
