import itertools

import numpy as np
import pytest
from scipy import stats

from oasis.report.board import resampling


def test_resamples_are_plain_draws_with_replacement() -> None:
    share = resampling.weights(7)
    assert share.shape == (resampling.RESAMPLES, 7)
    np.testing.assert_allclose(share.sum(axis=1), 1)
    np.testing.assert_allclose(share.mean(axis=0), 1 / 7, atol=0.015)
    np.testing.assert_allclose((share * 7).var(axis=0), 6 / 7, atol=0.1)  # a multinomial's


def test_means_are_those_of_a_plain_loop() -> None:
    values = np.random.default_rng(0).normal(size=(3, 9))
    counts = np.rint(resampling.weights(9) * 9).astype(int)
    plain = [[np.repeat(row, count).mean() for count in counts] for row in values]
    np.testing.assert_allclose(resampling.means(values), plain, atol=1e-12)


def test_an_infinite_clip_makes_those_resamples_infinite_that_draw_it() -> None:
    values = np.array([[np.inf, 1.0, 2.0], [1.0, -np.inf, 3.0]])
    share, found = resampling.weights(3), resampling.means(values)
    np.testing.assert_array_equal(found[0] == np.inf, share[:, 0] > 0)
    np.testing.assert_array_equal(found[1] == -np.inf, share[:, 1] > 0)
    rest = share[:, 0] == 0
    np.testing.assert_allclose(found[0, rest], share[rest] @ [0, 1, 2])


def test_the_interval_is_scipys_percentile_bootstrap() -> None:
    values = np.random.default_rng(1).normal(30, 2, size=20)
    low, high = resampling.interval(resampling.means(values[None]))
    theirs = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=0).confidence_interval
    width = theirs.high - theirs.low
    assert float(low[0]) == pytest.approx(theirs.low, abs=0.07 * width)  # the error of 1001 resamples
    assert float(high[0]) == pytest.approx(theirs.high, abs=0.07 * width)


def test_bounds_are_order_statistics_at_two_and_a_half_per_cent() -> None:
    low, high = resampling.interval(np.random.default_rng(0).permutation(resampling.RESAMPLES)[None].astype(float))
    assert (low[0], high[0]) == (25, 975)
    assert np.quantile(np.arange(resampling.RESAMPLES), [0.025, 0.975]).tolist() == [25, 975]


def test_intervals_of_differences_are_those_of_a_plain_loop() -> None:
    values = np.random.default_rng(3).normal(30, 2, size=(4, 8))
    low, high = resampling.difference_intervals(values)
    pairs = list(itertools.combinations(range(4), 2))
    for (one, two), lower, upper in zip(pairs, low, high, strict=True):
        plain = resampling.interval(resampling.means(values[[one]] - values[[two]]))
        np.testing.assert_allclose([lower, upper], np.ravel(plain), rtol=2e-7)


def test_ranks_count_who_is_better_in_each_resample() -> None:
    distances = np.random.default_rng(2).normal(size=(5, 6)) + np.arange(5)[:, None] / 4
    rank, low, high = resampling.ranks(distances, 6)
    means = np.round(resampling.means(distances), 6)
    plain = 1 + (means[None, :, :] < means[:, None, :]).sum(axis=1)
    ordered = np.sort(plain, axis=1)
    np.testing.assert_array_equal(rank, 1 + (distances.mean(axis=1)[None] < distances.mean(axis=1)[:, None]).sum(axis=1))
    np.testing.assert_array_equal(low, np.minimum(rank, ordered[:, 25]))
    np.testing.assert_array_equal(high, np.maximum(rank, ordered[:, 975]))


def test_means_that_print_alike_share_a_rank() -> None:
    rank, low, high = resampling.ranks(np.array([[1.0, 2.0], [1.0, 2.0 + 1e-9], [9.0, 9.0]]), 6)
    assert (rank.tolist(), low.tolist(), high.tolist()) == ([1, 1, 3], [1, 1, 3], [1, 1, 3])
