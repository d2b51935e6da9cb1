"""Names for the parts of a computation. They cost next to nothing until somebody listens (`oasis.timing` does)."""

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, runtime_checkable


@runtime_checkable  # for the run that checks types as it goes (`tox -e shapes`)
class Listener(Protocol):
    """Who wants to know when sections begin and end."""

    def section(self, name: str) -> AbstractContextManager[None]:
        """Return what is entered where the section begins and left where it ends."""


_SILENT = nullcontext()
_listener: Listener | None = None


def section(name: str) -> AbstractContextManager[None]:
    """Name what runs inside the `with` block; sections nest. Changes no value, and may stand in code that torch compiles."""
    return _SILENT if _listener is None else _listener.section(name)


@contextlib.contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Report every section to `listener` until the block ends; ValueError if somebody listens already."""
    global _listener
    if _listener is not None:
        raise ValueError("sections are being recorded already; allowed: one recorder at a time")
    _listener = listener
    try:
        yield
    finally:
        _listener = None


@contextlib.contextmanager
def unheard() -> Iterator[None]:
    """Report nothing until the block ends: a clock's events would become part of a graph that is being captured."""
    global _listener
    before, _listener = _listener, None
    try:
        yield
    finally:
        _listener = before
