"""Time functions against each other: interleaved round by round, because a shared machine is only equal to itself."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from tqdm import tqdm


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds of one candidate over the rounds, and its share of the first candidate's.

    `p20`, `p50`, `p80` are quantiles in seconds; `ratio` is the median over rounds of its time divided by the first
    candidate's time in the same round, which slow drifts of the machine leave alone.
    """

    p20: float
    p50: float
    p80: float
    ratio: float
    rounds: int


def measure(
    functions: Mapping[str, Callable[[], Any]], rounds: int, *, device: torch.device | str = "cpu", warm_up: int = 1
) -> dict[str, Timing]:
    """Call every function once per round and return its timing by name; the first one is what `ratio` refers to.

    On CUDA the time between two events on the current stream is taken. `warm_up` rounds are run first and not counted.
    """
    if not functions or rounds < 1:
        raise ValueError(f"timing needs a function and a round, got {len(functions)} functions and {rounds} rounds")
    clock = _cuda_seconds if torch.device(device).type == "cuda" else _cpu_seconds
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for number in tqdm(range(warm_up + rounds), desc="timing", unit="round", disable=None, leave=False):
        for name, function in functions.items():
            taken = clock(function)
            if number >= warm_up:
                seconds[name].append(taken)
    first = next(iter(seconds.values()))
    return {name: _summary(taken, first) for name, taken in seconds.items()}


def quantile(values: list[float], share: float) -> float:
    """Return the value below which `share` (0 to 1) of the values lie, linear between neighbours."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def _summary(taken: list[float], first: list[float]) -> Timing:
    p20, p50, p80 = (quantile(taken, share) for share in (0.2, 0.5, 0.8))
    ratio = statistics.median(one / base for one, base in zip(taken, first, strict=True))
    return Timing(p20=p20, p50=p50, p80=p80, ratio=ratio, rounds=len(taken))


def _cpu_seconds(function: Callable[[], Any]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def _cuda_seconds(function: Callable[[], Any]) -> float:
    start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    function()
    stop.record()
    stop.synchronize()
    return start.elapsed_time(stop) / 1000  # milliseconds
