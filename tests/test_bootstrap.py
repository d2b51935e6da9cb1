"""Intervals that hold what they promise at few clips, and weights that pair what is paired."""

from functools import cache

import numpy as np
import pytest
from scipy import stats

from oasis import bootstrap
from oasis.stability import ranks
from oasis.stability.routed import changed

REPETITIONS, RESAMPLES = 300, 200


@cache
def _weights(clips: int, of: str = "clip") -> np.ndarray:
    """Return weights for every repetition, "repetitions resamples clips"; those of the same clips are the same."""
    drawn = bootstrap.weights([f"{of}-{number}" for number in range(clips)], REPETITIONS * RESAMPLES, 0)
    return drawn.reshape(REPETITIONS, RESAMPLES, clips)


def _covered(draw, truth: float, clips: int, method) -> float:
    """Return how often the interval of the mean of `clips` numbers holds the truth."""
    hits = 0
    for weights in _weights(clips):
        values = draw(clips)
        low, high = method(values.mean(), weights @ values, clips)
        hits += low <= truth <= high
    return hits / REPETITIONS


def _plain(estimate, resampled, clips):
    return np.quantile(resampled, [0.025, 0.975])


@pytest.mark.parametrize("clips", [4, 10, 20])
@pytest.mark.parametrize("kind", ["normal", "gamma"])
def test_intervals_of_means_hold_95_percent(clips: int, kind: str) -> None:
    generator = np.random.default_rng([clips, len(kind)])
    draw, truth = {
        "normal": (lambda n: generator.normal(size=n), 0.0),
        "gamma": (lambda n: generator.gamma(3.0, size=n), 3.0),  # skewed, as divergences are
    }[kind]
    assert 0.90 <= _covered(draw, truth, clips, bootstrap.percentile) <= 0.98


def test_plain_percentiles_are_too_narrow_at_few_clips() -> None:
    generator = np.random.default_rng(0)

    def draw(count: int) -> np.ndarray:
        return generator.normal(size=count)

    assert _covered(draw, 0.0, 4, _plain) < 0.88


@pytest.mark.parametrize(("clips", "paired"), [(10, True), (10, False), (20, True)])
def test_intervals_of_differences_hold_95_percent(clips: int, paired: bool) -> None:
    generator = np.random.default_rng([clips, paired])
    hits = 0
    for weights, others in zip(_weights(clips), _weights(clips, "clip" if paired else "other"), strict=True):
        shared = generator.normal(size=clips) if paired else np.zeros(clips)
        one, other = (generator.normal(shared + shift, 0.5) for shift in (0.0, 0.3))
        low, high = bootstrap.percentile(other.mean() - one.mean(), others @ other - weights @ one, clips)
        hits += low <= 0.3 <= high
    assert 0.90 <= hits / REPETITIONS <= 0.98


@pytest.mark.parametrize("truth", [1.0, 0.7])
def test_basic_intervals_hold_rank_correlations_where_percentiles_do_not(truth: float) -> None:
    generator = np.random.default_rng(int(10 * truth))
    clips, heads = 10, 48
    hits = {"basic": 0, "plain": 0}
    for weights, others in zip(_weights(clips), _weights(clips, "other"), strict=True):
        one = generator.normal(size=heads)
        other = truth * one + np.sqrt(1 - truth**2) * generator.normal(size=heads)
        noisy = [each + generator.normal(size=(clips, heads)) for each in (one, other)]
        estimate = ranks.spearman(noisy[0].mean(axis=0), noisy[1].mean(axis=0))
        resampled = ranks.spearman(weights @ noisy[0], others @ noisy[1])
        real = float(stats.spearmanr(one, other).statistic)
        for name, (low, high) in {
            "basic": bootstrap.basic(estimate, resampled, clips, least=-1, most=1),
            "plain": _plain(estimate, resampled, clips),
        }.items():
            hits[name] += low - 1e-9 <= real <= high + 1e-9
    assert hits["basic"] / REPETITIONS >= 0.90
    assert hits["plain"] / REPETITIONS < 0.60


@pytest.mark.parametrize("apart", [0.0, 0.5])
def test_widened_intervals_hold_shares_of_changed_heads(apart: float) -> None:
    generator = np.random.default_rng(int(10 * apart))
    clips, heads = 10, 48
    hits = {"widened": 0, "plain": 0}
    for weights, others in zip(_weights(clips), _weights(clips, "other"), strict=True):
        one = generator.normal(size=heads)
        other = one + apart * generator.normal(size=heads)
        noisy = [each + generator.normal(size=(clips, heads)) for each in (one, other)]
        estimate = changed(noisy[0].mean(axis=0) > 0, noisy[1].mean(axis=0) > 0)
        resampled = changed(weights @ noisy[0] > 0, others @ noisy[1] > 0)
        real = changed(one > 0, other > 0)
        for name, (low, high) in {
            "widened": bootstrap.widened(bootstrap.distance(estimate, resampled, clips, most=1), resampled),
            "plain": _plain(estimate, resampled, clips),
        }.items():
            hits[name] += low - 1e-9 <= real <= high + 1e-9
    assert hits["widened"] / REPETITIONS >= 0.90
    assert hits["plain"] / REPETITIONS < 0.90


def test_resampled_means_vary_as_means_do() -> None:
    values = np.random.default_rng(3).normal(size=7)
    resampled = bootstrap.weights([f"clip-{number}" for number in range(7)], 40_000, 0) @ values
    assert resampled.mean() == pytest.approx(values.mean(), abs=0.01)
    assert resampled.var() == pytest.approx(values.var(ddof=1) / 7, rel=0.03)


def test_a_clip_draws_from_its_name() -> None:
    names = [f"clip-{number}" for number in range(5)]
    weights = bootstrap.weights(names, 50, 0)
    assert np.allclose(weights[:, ::-1], bootstrap.weights(names[::-1], 50, 0), rtol=1e-12)
    assert np.allclose(weights.sum(axis=1), 1) and (weights >= 0).all()
    assert not np.array_equal(weights, bootstrap.weights(names, 50, 1))
    apart = bootstrap.weights([*names[:4], "another"], 2000, 0)
    again = bootstrap.weights(names, 2000, 0)
    correlations = [np.corrcoef(apart[:, place], again[:, place])[0, 1] for place in range(5)]
    assert min(correlations[:4]) > 0.7 and abs(correlations[4]) < 0.3  # all share the sum


@pytest.mark.parametrize("clips", [1, 2])
def test_there_is_no_interval_of_two_clips(clips: int) -> None:
    names = [f"clip-{number}" for number in range(clips)]
    weights = bootstrap.weights(names, 10, 0)
    assert np.array_equal(weights, np.full((10, clips), 1 / clips))
    assert np.isnan(bootstrap.percentile(np.array(1.0), weights.sum(axis=1), clips)).all()
    assert np.isnan(bootstrap.basic(np.array(1.0), weights.sum(axis=1), clips)).all()


def test_a_basic_interval_holds_its_estimate_and_stays_in_its_bounds() -> None:
    resampled = np.random.default_rng(0).uniform(0.7, 0.9, 1000)  # all below the estimate: noise pulls down
    low, high = bootstrap.basic(np.array(0.95), resampled, 8, least=-1, most=1)
    assert low == 0.95 and high == 1


@pytest.mark.parametrize("clips", [4, 6, 10])
def test_replaced_clips_cover_the_mean_where_plain_percentiles_are_too_narrow(clips: int) -> None:
    generator = np.random.default_rng(clips)
    inside, plain, repetitions = 0, 0, 400
    for _ in range(repetitions):
        values = generator.normal(size=clips)
        resampled = values[generator.integers(clips, size=(500, clips))].mean(axis=1)
        low, high = bootstrap.replaced(values.mean(), resampled, clips)
        inside += low <= 0 <= high
        low, high = np.quantile(resampled, [0.025, 0.975])
        plain += low <= 0 <= high
    assert 0.91 <= inside / repetitions <= 0.985
    assert plain < inside and (clips > 4 or plain / repetitions < 0.87)


def test_of_one_clip_the_interval_is_that_of_what_else_was_drawn() -> None:
    assert bootstrap.replaced(0.0, np.linspace(-1, 1, 1001), 1) == pytest.approx((-0.95, 0.95))
