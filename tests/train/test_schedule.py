import pytest
from hypothesis import given
from hypothesis import strategies as st

from oasis.cli import training
from oasis.train.presets import PRESETS
from oasis.train.schedule import SCHEDULES, Schedule


@given(st.sampled_from(sorted(SCHEDULES)), st.floats(0, 1))
def test_probabilities_are_probabilities(name: str, progress: float) -> None:
    assert 0 <= SCHEDULES[name].probability(progress) <= 1


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_mean_is_that_of_the_curve(name: str) -> None:
    schedule = SCHEDULES[name]
    sampled = sum(schedule.probability((step + 0.5) / 10_000) for step in range(10_000)) / 10_000
    assert schedule.mean() == pytest.approx(sampled, abs=1e-6)


def test_progressive_is_consistent_first_and_its_controls_see_as_much() -> None:
    progressive, reverse = SCHEDULES["progressive"], SCHEDULES["reversed"]
    assert [progressive.probability(place) for place in (0, 0.25, 0.5, 0.75, 1)] == [0, 0, 0, 0.5, 1]
    assert all(
        reverse.probability(place) == pytest.approx(progressive.probability(1 - place)) for place in (0, 0.1, 0.3, 0.5, 0.9, 1)
    )
    assert progressive.mean() == reverse.mean() == SCHEDULES["constant"].mean() == 0.25


@pytest.mark.parametrize("points", [(), ((0.5, 0.0), (0.2, 1.0)), ((0.0, 1.5),), ((-0.1, 0.5),)])
def test_impossible_schedules_are_refused(points: tuple[tuple[float, float], ...]) -> None:
    with pytest.raises(ValueError, match="schedule 'x' has the points"):
        Schedule(name="x", points=points)


def test_the_command_knows_every_preset_and_schedule() -> None:
    assert list(training.NAMES) == list(PRESETS)
    assert list(training.SCHEDULES) == list(SCHEDULES)
