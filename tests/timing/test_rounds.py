import math
import statistics
from collections.abc import Callable, Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oasis.timing import Measurement, Until, measure, measure_phases, median_spread, quantile
from oasis.timing.overhead import count_sections, overhead
from oasis.timing.phases import TOTAL, cpu_clock


class Played:
    """Candidates whose times are given, and the clock that shows them."""

    def __init__(self, seconds: Mapping[str, list[float]], phase: str | None = None) -> None:
        self.seconds = seconds
        self.phase = phase
        self.calls: list[str] = []
        self.functions: dict[str, Callable[[], None]] = {name: lambda name=name: self.calls.append(name) for name in seconds}

    def clock(self, function: Callable[[], None]) -> dict[str, float]:
        function()
        name = self.calls[-1]
        taken = self.seconds[name][(self.calls.count(name) - 1) % len(self.seconds[name])]
        return {TOTAL: taken} if self.phase is None else {TOTAL: taken, self.phase: taken / 4}


def test_candidates_take_turns_and_warm_up_is_not_counted() -> None:
    played = Played({"fast": [9.0, 1.0, 2.0, 4.0], "slow": [9.0, 2.0, 4.0, 12.0]})
    found = measure(played.functions, rounds=3, clock=played.clock)
    assert played.calls == ["fast", "slow"] * 4
    assert found["fast"] == Measurement(
        p20=1.4, p25=1.5, p50=2.0, p75=3.0, p80=pytest.approx(3.2), ratio=1.0, spread=0.75, rounds=3, stopped="rounds"
    )
    assert found["slow"].ratio == 2.0 and found["slow"].p50 == 4.0


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=20), st.floats(0.1, 10))
def test_ratios_do_not_see_a_machine_that_drifts(drift: list[float], factor: float) -> None:
    played = Played({"base": drift, "other": [factor * x for x in drift]}, phase="part")
    found = measure_phases(played.functions, rounds=len(drift), warm_up=0, clock=played.clock)
    assert found["other"][TOTAL].ratio == pytest.approx(factor) == found["other"]["part"].ratio
    assert found["other"]["part"].p50 == pytest.approx(found["other"][TOTAL].p50 / 4)


def test_rounds_end_when_the_medians_are_known() -> None:
    steady = Played({"a": [9.0, 1.0, 1.0, 1.0], "b": [9.0, 2.0, 2.0, 2.0]})
    found = measure(steady.functions, Until(spread=0.02, seconds=1000, least=3), clock=steady.clock)
    assert found["a"].stopped == "spread" and found["a"].rounds == 3


def test_or_when_the_measured_time_is_used_up() -> None:
    noisy = Played({"a": [1.0, 2.0], "b": [1.0, 1.0]})
    found = measure(noisy.functions, Until(spread=0.02, seconds=25, least=3), clock=noisy.clock)
    assert found["b"].stopped == "seconds" and found["b"].rounds == 10


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=9), st.sampled_from([0.0, 0.2, 0.5, 0.8, 1.0]))
def test_quantiles_are_numpy_s(values: list[float], share: float) -> None:
    assert quantile(values, share) == pytest.approx(np.quantile(values, share))
    assert quantile(values, 0.5) == pytest.approx(statistics.median(values))


def test_the_spread_covers_the_true_median_95_times_in_100() -> None:
    generator = np.random.default_rng(0)
    hits = 0
    for values in generator.exponential(1.0, (400, 25)):
        ordered, half = np.sort(values), median_spread(values.tolist()) * np.median(values)
        low, high = ordered[6], ordered[18]  # the order statistics of n = 25: ranks 7 and 19
        assert half == pytest.approx((high - low) / 2)
        hits += low <= np.log(2) <= high
    assert 0.93 <= hits / 400 <= 1
    assert median_spread([1.0]) == math.inf


def test_cold_caches_are_flushed_before_every_call_and_outside_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    monkeypatch.setattr("oasis.timing.rounds.flush", lambda device: lambda: events.append("flush"))

    def clock(function: Callable[[], None]) -> dict[str, float]:
        events.append("start")
        function()
        events.append("stop")
        return {TOTAL: 1.0}

    measure({"a": lambda: events.append("call")}, rounds=2, warm_up=1, cold=True, clock=clock)
    assert events == ["flush", "start", "call", "stop"] * 3


@pytest.mark.parametrize("rounds", [0, -1])
def test_nothing_to_time_is_refused(rounds: int) -> None:
    with pytest.raises(ValueError, match="0 functions"):
        measure({}, rounds=1)
    with pytest.raises(ValueError, match=f"{rounds} rounds"):
        measure({"a": lambda: None}, rounds=rounds)
    with pytest.raises(ValueError, match="positive spread"):
        Until(spread=0)


def test_overhead_is_that_of_an_empty_function_with_the_same_sections() -> None:
    now = iter(range(10**6))
    clock = cpu_clock(now=lambda: float(next(now)))  # a tick each time it is asked
    assert overhead(clock) == 1
    assert overhead(clock, sections=5) == 11
    assert count_sections(lambda: overhead(lambda function: function() or {TOTAL: 0.0}, sections=2)) == 2 * 200
