"""One call, timed as a whole and by the sections that it passes through (`oasis.sections`)."""

import time
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from oasis.sections import listening

TOTAL = "total"
Clock = Callable[[Callable[[], Any]], dict[str, float]]
"""Calls a function and returns its seconds: `total`, and those of its sections by path, such as `dit/mlp`."""


class Recorder:
    """Notes when sections begin and end; `now` makes a mark, `between` turns two marks into seconds.

    Only sections in `names` are noted, all by default. Code that torch compiles is one piece: its sections are left out.
    """

    def __init__(
        self, now: Callable[[], Any], between: Callable[[Any, Any], float], names: Collection[str] | None = None
    ) -> None:
        self.now = now
        self.between = between
        self.names = names
        self.path: tuple[str, ...] = ()
        self.begun: dict[tuple[str, ...], None] = {}
        self.spans: list[tuple[tuple[str, ...], Any, Any]] = []

    def section(self, name: str) -> AbstractContextManager[None]:
        """Return a context manager that notes one span."""
        if torch.compiler.is_compiling() or (self.names is not None and name not in self.names):
            return nullcontext()
        return _Span(self, name)

    def seconds(self) -> dict[str, float]:
        """Return the seconds of each section by path, its spans added up, in the order in which they began first."""
        found = {"/".join(path): 0.0 for path in self.begun}
        for path, start, stop in self.spans:
            found["/".join(path)] += self.between(start, stop)
        return found


class _Span:
    __slots__ = ("name", "outside", "recorder", "start")

    def __init__(self, recorder: Recorder, name: str) -> None:
        self.recorder = recorder
        self.name = name

    def __enter__(self) -> None:
        self.outside = self.recorder.path
        self.recorder.path = (*self.outside, self.name)
        self.recorder.begun.setdefault(self.recorder.path)
        self.start = self.recorder.now()

    def __exit__(self, *_: object) -> None:
        stop = self.recorder.now()
        self.recorder.spans.append((self.recorder.path, self.start, stop))
        self.recorder.path = self.outside


def cpu_clock(*, names: Collection[str] | None = None, now: Callable[[], float] = time.perf_counter) -> Clock:
    """Return a clock for work on the CPU."""

    def call(function: Callable[[], Any]) -> dict[str, float]:
        recorder = Recorder(now, lambda start, stop: stop - start, names)
        with listening(recorder):
            start = now()
            function()
            stop = now()
        return {TOTAL: stop - start, **recorder.seconds()}

    return call


def cuda_clock(*, names: Collection[str] | None = None) -> Clock:
    """Return a clock for work on the current CUDA stream: seconds between events, gaps between launches included."""

    def call(function: Callable[[], Any]) -> dict[str, float]:
        recorder = Recorder(_event, _between_events, names)
        with listening(recorder):
            start = _event()
            function()
            stop = _event()
        stop.synchronize()
        return {TOTAL: _between_events(start, stop), **recorder.seconds()}

    return call


def wall_clock(device: torch.device | str, *, names: Collection[str] | None = None) -> Clock:
    """Return a clock for work on both processor and `device`, which is waited for at both ends of every section."""
    if torch.device(device).type != "cuda":
        return cpu_clock(names=names)

    def now() -> float:
        torch.cuda.synchronize(device)
        return time.perf_counter()

    return cpu_clock(names=names, now=now)


def own(seconds: Mapping[str, float]) -> dict[str, float]:
    """Return what each section spends outside the sections directly inside it; over all of them this sums to `total`."""
    found = {}
    for path, taken in seconds.items():
        inside = "" if path == TOTAL else f"{path}/"
        children = [other for other in seconds if other not in (path, TOTAL) and other.startswith(inside)]
        found[path] = taken - sum(seconds[child] for child in children if "/" not in child.removeprefix(inside))
    return found


def _event() -> torch.cuda.Event:
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def _between_events(start: torch.cuda.Event, stop: torch.cuda.Event) -> float:
    return start.elapsed_time(stop) / 1000  # milliseconds
