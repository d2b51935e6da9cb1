import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oasis.scaling import amdahl, crossover, growth

lengths = st.lists(st.integers(1, 10**6), min_size=3, max_size=8, unique=True)


@given(lengths, st.floats(-1, 3), st.floats(1e-6, 1e3))
def test_a_fit_recovers_a_known_exponent(tokens: list[int], exponent: float, factor: float) -> None:
    found = growth(tokens, [factor * n**exponent for n in tokens])
    assert found.exponent == pytest.approx(exponent, abs=1e-6)
    assert found.error == pytest.approx(0, abs=1e-6) and found.points == len(tokens)


@given(st.integers(0, 2**32 - 1), st.integers(3, 9))
def test_exponent_and_error_are_those_of_linear_regression(seed: int, points: int) -> None:
    generator = np.random.default_rng(seed)
    tokens = (generator.permutation(50)[:points] + 1).tolist()
    seconds = generator.uniform(0.1, 10, points).tolist()
    (slope, _), covariance = np.polyfit(np.log(tokens), np.log(seconds), 1, cov="unscaled")
    residual = np.log(seconds) - np.polyval(np.polyfit(np.log(tokens), np.log(seconds), 1), np.log(tokens))
    found = growth(tokens, seconds)
    assert found.exponent == pytest.approx(slope, rel=1e-6, abs=1e-9)
    assert found.error == pytest.approx(math.sqrt(covariance[0, 0] * (residual @ residual) / (points - 2)), rel=1e-6, abs=1e-9)


def test_two_points_have_an_exponent_without_an_error() -> None:
    assert str(growth([100, 200], [1.0, 4.0])) == "tokens^2.00 (2 points)"


@pytest.mark.parametrize("tokens, seconds", [([5, 5], [1.0, 2.0]), ([5], [1.0]), ([1, 2], [0.0, 1.0])])
def test_what_has_no_exponent_is_refused(tokens: list[int], seconds: list[float]) -> None:
    with pytest.raises(ValueError, match="growth exponent"):
        growth(tokens, seconds)


@given(st.floats(100, 10_000), lengths.filter(lambda found: min(found) < 100 and max(found) > 10_000))
def test_the_crossover_of_power_laws_is_exact(where: float, tokens: list[int]) -> None:
    found = crossover(tokens, [math.sqrt(where / n) for n in tokens])
    assert found.tokens == pytest.approx(where) and found.between and found.longest == max(tokens)


def test_a_crossover_counts_only_if_it_lasts() -> None:
    assert crossover([1, 2, 4, 8], [2.0, 0.5, 2.0, 0.5]).tokens == pytest.approx(math.sqrt(32))
    assert str(crossover([10, 20, 40], [0.5, 0.9, 1.1])) == "none up to 40 tokens"
    assert str(crossover([10, 20], [0.5, 0.4])) == "below 10 tokens (measured up to 20)"
    with pytest.raises(ValueError, match="two lengths"):
        crossover([10], [0.5])


@given(st.floats(0.01, 0.99), st.floats(1e-3, 1e3))
def test_amdahl_is_one_over_what_remains(share: float, total: float) -> None:
    assert amdahl(total, share * total) == pytest.approx(1 / (1 - share))


@pytest.mark.parametrize("part", [-1.0, 1.0, 2.0])
def test_a_part_must_lie_within_the_whole(part: float) -> None:
    with pytest.raises(ValueError, match="within a whole"):
        amdahl(1.0, part)
