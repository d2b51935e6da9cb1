"""Rank correlations against scipy, kappa against its definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from oasis.stability import ranks

# Few values, so that there are ties.
lists = arrays(np.float64, st.tuples(st.just(2), st.integers(2, 12)), elements=st.integers(0, 4).map(float))


@given(lists)
def test_rank_correlations_are_scipys(values: np.ndarray) -> None:
    one, other = values
    for found, wanted in (
        (ranks.spearman(one, other), stats.spearmanr),
        (ranks.kendall(one, other), stats.kendalltau),
    ):
        if len(set(one)) == 1 or len(set(other)) == 1:
            assert np.isnan(found)
        else:
            assert found == pytest.approx(wanted(one, other).statistic, abs=1e-12)


def test_many_resamples_at_once_are_each_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    one, other = generator.integers(0, 9, (2, 7, 3, 10)).astype(float)
    monkeypatch.setattr(ranks, "CHUNK", 100)  # so that there are several chunks
    for measure in (ranks.spearman, ranks.kendall):
        each = [[measure(one[i, j], other[i, j]) for j in range(3)] for i in range(7)]
        assert np.allclose(measure(one, other), each, rtol=0, atol=1e-12)


@given(arrays(np.int64, st.tuples(st.just(2), st.integers(1, 8)), elements=st.integers(0, 2)))
def test_kappa_is_agreement_above_chance(values: np.ndarray) -> None:
    one, other = values
    heads = len(one)
    agreed = sum(a == b for a, b in zip(one, other, strict=True)) / heads
    chance = sum(a == b for a in one for b in other) / heads**2  # every head of one against every head of the other
    assert ranks.kappa(one, other) == pytest.approx(1.0 if agreed == 1 else (agreed - chance) / (1 - chance))
