import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from oasis.report.board import signed_rank

SMALL_DIFFERENCES = st.lists(st.integers(-4, 4), min_size=1, max_size=9)


@pytest.mark.parametrize("clips", [1, 2, 5, 12, 50])
def test_without_ties_p_is_scipys_exact_one(clips: int) -> None:
    differences = np.random.default_rng(clips).normal(0.3, 1, size=(20, clips))
    p, sign = signed_rank.test(differences)
    for row, mine, up in zip(differences, p, sign, strict=True):
        assert mine == pytest.approx(stats.wilcoxon(row, method="exact").pvalue, rel=1e-9)
        ranks = stats.rankdata(np.abs(row))
        assert up == np.sign(ranks[row > 0].sum() - ranks[row < 0].sum())


@pytest.mark.parametrize("clips", [51, 100])
@pytest.mark.parametrize("decimals", [1, 12])
def test_with_many_clips_p_is_scipys_normal_one_with_its_correction_for_ties(clips: int, decimals: int) -> None:
    differences = np.round(np.random.default_rng(clips).normal(0.2, 1, size=(20, clips)), decimals)
    p, _ = signed_rank.test(differences)
    for row, mine in zip(differences, p, strict=True):
        if np.count_nonzero(row) > signed_rank.EXACT:
            assert mine == pytest.approx(stats.wilcoxon(row, method="asymptotic").pvalue, rel=1e-9)


@given(SMALL_DIFFERENCES)
def test_with_ties_and_zeros_p_counts_all_signs(differences: list[int]) -> None:
    p, _ = signed_rank.test(np.array([differences], dtype=float))
    sizes = [abs(one) for one in differences if one]
    ranks = stats.rankdata(sizes) if sizes else []
    up = sum(rank for rank, one in zip(ranks, (one for one in differences if one), strict=True) if one > 0)
    sums = [sum(r for r, s in zip(ranks, signs, strict=True) if s) for signs in itertools.product((0, 1), repeat=len(sizes))]
    lower = sum(one <= up for one in sums) / len(sums)
    upper = sum(one >= up for one in sums) / len(sums)
    assert p[0] == pytest.approx(min(1, 2 * min(lower, upper)))


@given(st.lists(SMALL_DIFFERENCES, min_size=1, max_size=6))
def test_a_pair_does_not_depend_on_the_others_and_turning_it_round_keeps_p(rows: list[list[int]]) -> None:
    together = np.zeros((len(rows), max(map(len, rows))))
    for number, row in enumerate(rows):
        together[number, : len(row)] = row
    p, sign = signed_rank.test(together)
    for number, row in enumerate(together):
        alone, up = signed_rank.test(-row[None])
        assert alone[0] == pytest.approx(p[number])
        assert up[0] == -sign[number]


def test_infinite_differences_have_ranks() -> None:
    p, sign = signed_rank.test(np.array([[np.inf, 1.0, 2.0, 3.0, 4.0, 5.0]]))
    assert (p[0], sign[0]) == (2 / 2**6, 1)


def test_equal_methods_do_not_differ() -> None:
    p, sign = signed_rank.test(np.zeros((1, 60)))
    assert (p[0], sign[0]) == (1, 0)


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_is_monotone_never_smaller_and_the_smallest_is_bonferronis(values: list[float]) -> None:
    p = np.array(values)
    corrected = signed_rank.holm(p)
    assert (corrected >= p).all() and (corrected <= 1).all()
    order = np.argsort(p)
    assert (np.diff(corrected[order]) >= 0).all()
    if values:
        assert corrected[order[0]] == min(1, len(values) * p[order[0]])


def test_holm_by_hand_and_without_what_was_not_tested() -> None:
    corrected = signed_rank.holm(np.array([0.01, np.nan, 0.04, 0.03]))
    np.testing.assert_allclose(corrected, [0.03, np.nan, 0.06, 0.06])
