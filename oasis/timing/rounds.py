"""Time functions against each other: interleaved round by round, because a shared machine is only equal to itself."""

import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from tqdm import tqdm

from oasis.timing.cache import flush
from oasis.timing.phases import TOTAL, Clock, cpu_clock, cuda_clock

Stopped = Literal["rounds", "spread", "seconds"]


@dataclass(frozen=True, kw_only=True)
class Until:
    """Repeat until every median is known to `spread` (see `median_spread`), or `seconds` of measured time are used up.

    At least `least` rounds are run. Warm-up and flushes are not measured time.
    """

    spread: float = 0.02
    seconds: float = 60.0
    least: int = 5

    def __post_init__(self) -> None:
        if self.spread <= 0 or self.seconds <= 0 or self.least < 1:
            raise ValueError(f"repeating needs a positive spread, positive seconds and a round, got {self}")


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Seconds of one candidate, or of one of its phases, over the rounds, and its share of the first candidate's.

    `p20` to `p80` are quantiles in seconds; `ratio` is the median over rounds of its time divided by the first
    candidate's time in the same phase and round, which slow drifts of the machine leave alone (None where the first has
    no such phase). `spread` is that of the median; `stopped` says what ended the rounds.
    """

    p20: float
    p25: float
    p50: float
    p75: float
    p80: float
    ratio: float | None
    spread: float
    rounds: int
    stopped: Stopped


def measure(
    functions: Mapping[str, Callable[[], Any]],
    rounds: int | Until,
    *,
    device: torch.device | str = "cpu",
    cold: bool = False,
    warm_up: int = 1,
    clock: Clock | None = None,
) -> dict[str, Measurement]:
    """Call every function once per round and return its timing by name; arguments as in `measure_phases`."""
    found = measure_phases(functions, rounds, device=device, cold=cold, warm_up=warm_up, clock=clock)
    return {name: phases[TOTAL] for name, phases in found.items()}


def measure_phases(
    functions: Mapping[str, Callable[[], Any]],
    rounds: int | Until,
    *,
    device: torch.device | str = "cpu",
    cold: bool = False,
    warm_up: int = 1,
    clock: Clock | None = None,
) -> dict[str, dict[str, Measurement]]:
    """Call every function once per round; return, by name and phase (`total` first), what each took.

    The first function is what `ratio` refers to. Before each call the caches are as the call before left them, or, if
    `cold`, flushed outside the clock. `warm_up` rounds are run first and not counted. `clock` is by default the processor's
    or, on CUDA, that of events on the current stream.
    """
    wanted = rounds if isinstance(rounds, int) else rounds.least
    if not functions or wanted < 1:
        raise ValueError(f"timing needs a function and a round, got {len(functions)} functions and {wanted} rounds")
    clock = clock or (cuda_clock() if torch.device(device).type == "cuda" else cpu_clock())
    before = flush(device) if cold else _nothing
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in functions}
    stopped: Stopped | None = None
    with tqdm(total=rounds if isinstance(rounds, int) else None, desc="timing", unit="round", disable=None, leave=False) as bar:
        for _ in range(warm_up):
            for function in functions.values():
                before()
                clock(function)
        while stopped is None:
            for name, function in functions.items():
                before()
                taken[name].append(clock(function))
            bar.update()
            stopped = _stopped(rounds, {name: [one[TOTAL] for one in calls] for name, calls in taken.items()})
    first = next(iter(taken.values()))
    return {name: _by_phase(calls, first, stopped) for name, calls in taken.items()}


def quantile(values: list[float], share: float) -> float:
    """Return the value below which `share` (0 to 1) of the values lie, linear between neighbours."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def median_spread(values: list[float]) -> float:
    """Return half the width of the median's 95 % confidence interval, as a share of the median.

    The interval lies between two order statistics (n -+ 1.96 sqrt(n)) / 2 places in, so that no distribution is assumed;
    for few values it is their whole range. One value says nothing: infinity.
    """
    if len(values) == 1:
        return math.inf
    ordered, n = sorted(values), len(values)
    half = 1.96 * math.sqrt(n) / 2
    low, high = max(math.floor(n / 2 - half) - 1, 0), min(math.ceil(n / 2 + half), n - 1)
    middle = statistics.median(ordered)
    return (ordered[high] - ordered[low]) / 2 / middle if middle else math.inf


def _stopped(rounds: int | Until, seconds: Mapping[str, list[float]]) -> Stopped | None:
    done = len(next(iter(seconds.values())))
    if isinstance(rounds, int):
        return "rounds" if done == rounds else None
    if done < rounds.least:
        return None
    if all(median_spread(values) <= rounds.spread for values in seconds.values()):
        return "spread"
    return "seconds" if sum(map(sum, seconds.values())) >= rounds.seconds else None


def _by_phase(calls: list[dict[str, float]], first: list[dict[str, float]], stopped: Stopped) -> dict[str, Measurement]:
    phases = list(dict.fromkeys(phase for call in calls for phase in call))
    return {phase: _summary(phase, calls, first, stopped) for phase in phases}


def _summary(phase: str, calls: list[dict[str, float]], first: list[dict[str, float]], stopped: Stopped) -> Measurement:
    taken = [call.get(phase, 0.0) for call in calls]
    base = [call.get(phase, 0.0) for call in first]
    p20, p25, p50, p75, p80 = (quantile(taken, share) for share in (0.2, 0.25, 0.5, 0.75, 0.8))
    ratio = statistics.median(one / other for one, other in zip(taken, base, strict=True)) if all(base) else None
    return Measurement(
        p20=p20,
        p25=p25,
        p50=p50,
        p75=p75,
        p80=p80,
        ratio=ratio,
        spread=median_spread(taken),
        rounds=len(taken),
        stopped=stopped,
    )


def _nothing() -> None:
    pass
