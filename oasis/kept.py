"""Tables that are computed once and kept, and a way to hold them for longer than that."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import TypeVar, TypeVarTuple

_Arguments = TypeVarTuple("_Arguments")
_R = TypeVar("_R")
_holders: list[list[object]] = []


def kept(size: int) -> Callable[[Callable[[*_Arguments], _R]], Callable[[*_Arguments], _R]]:
    """Return a decorator that keeps the last `size` results of a function of hashable arguments."""

    def decorate(function: Callable[[*_Arguments], _R]) -> Callable[[*_Arguments], _R]:
        cached = functools.lru_cache(maxsize=size)(function)

        @functools.wraps(function)
        def call(*args: *_Arguments) -> _R:
            result = cached(*args)
            for held in _holders:
                held.append(result)
            return result

        return call

    return decorate


@contextlib.contextmanager
def holding() -> Iterator[list[object]]:
    """Collect what kept functions return until the block ends.

    A CUDA graph reads tables where they lay when it was captured, whether or not they are kept until it is replayed: who
    replays it must hold them.
    """
    held: list[object] = []
    _holders.append(held)
    try:
        yield held
    finally:
        _holders.pop()
