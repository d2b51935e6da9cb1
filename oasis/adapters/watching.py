"""Processors on a transformer's self-attention: put there, checked after every forward, and taken away again."""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from oasis.adapters.attention import Heads
from oasis.adapters.family import Family
from oasis.model.dit import Probe


def install(transformer: nn.Module, family: Family, heads: Heads) -> None:
    """Put processors of ours on every self-attention layer, and the check around the forward; `remove` undoes it."""

    def begin(module: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        states: Tensor = named["hidden_states"] if "hidden_states" in named else given[0]
        heads.begin(family.grid(module, states.shape))

    def end(*_: Any) -> None:
        heads.end()

    if installed(transformer, family) is not None:
        raise ValueError(f"this {type(transformer).__name__} is routed or watched already; oasis.adapters.unroute it first")
    for number, attention in enumerate(family.layers(transformer).values()):
        original = attention.processor
        attention.set_processor(family.processor(number, heads))
        heads.undo.append(functools.partial(attention.set_processor, original))
    heads.undo.append(transformer.register_forward_pre_hook(begin, with_kwargs=True).remove)
    heads.undo.append(transformer.register_forward_hook(end).remove)


def remove(heads: Heads) -> None:
    """Give the layers their own processors back."""
    while heads.undo:
        heads.undo.pop()()


def installed(transformer: nn.Module, family: Family) -> Heads | None:
    """Return what the processors of ours on a transformer share, None if there are none."""
    for attention in family.layers(transformer).values():
        heads = getattr(attention.processor, "heads", None)
        if isinstance(heads, Heads):
            return heads
    return None


@contextlib.contextmanager
def watching(transformer: nn.Module, family: Family, probe: Probe) -> Iterator[Heads]:
    """Show every self-attention layer of the forwards inside to `probe`, with dense attention."""
    heads = Heads(layers=tuple(family.layers(transformer)), probe=probe)
    install(transformer, family, heads)
    try:
        yield heads
    finally:
        remove(heads)
