import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oasis import timing


def test_candidates_take_turns_and_warm_up_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    calls: list[str] = []

    def busy(name: str, seconds: list[float]) -> None:
        nonlocal now
        now += seconds[calls.count(name)]
        calls.append(name)

    monkeypatch.setattr(timing.time, "perf_counter", lambda: now)
    fast, slow = [9.0, 1.0, 2.0, 4.0], [9.0, 2.0, 4.0, 12.0]
    found = timing.measure({"fast": lambda: busy("fast", fast), "slow": lambda: busy("slow", slow)}, rounds=3)
    assert calls == ["fast", "slow"] * 4
    assert found["fast"] == timing.Timing(p20=1.4, p50=2.0, p80=pytest.approx(3.2), ratio=1.0, rounds=3)
    assert found["slow"].ratio == 2.0 and found["slow"].p50 == 4.0


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=9))
def test_quantiles_are_those_of_the_standard_library(values: list[float]) -> None:
    assert timing.quantile(values, 0.5) == pytest.approx(statistics.median(values))
    assert (timing.quantile(values, 0), timing.quantile(values, 1)) == pytest.approx((min(values), max(values)))
    if len(values) > 1:
        assert timing.quantile(values, 0.2) == pytest.approx(statistics.quantiles(values, n=5, method="inclusive")[0])


def test_nothing_to_time_is_refused() -> None:
    with pytest.raises(ValueError, match="0 functions"):
        timing.measure({}, rounds=1)
