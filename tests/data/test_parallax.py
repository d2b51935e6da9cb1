import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from oasis.data import parallax


def nearest(row, viewpoint, x):
    """Every piece of the row tried; of the solutions of u - viewpoint * d(u) = x the one with the largest d."""
    found = []
    for left in range(len(row) - 1):
        start, stop = (u - viewpoint * row[u] for u in (left, left + 1))
        if start != stop and 0 <= (x - start) / (stop - start) <= 1:
            share = (x - start) / (stop - start)
            found.append((row[left] + share * (row[left + 1] - row[left]), left + share))
    return max(found)[1] if found else float(np.clip(x, 0, len(row) - 1))


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32), viewpoint=st.floats(-0.6, 0.6))
def test_front_is_the_nearest_of_all_solutions(seed, viewpoint):
    generator = np.random.default_rng(seed)
    rows = np.cumsum(generator.normal(0, 2, (2, 24)), axis=1)
    x = generator.uniform(-2, 25, (2, 30))
    found = parallax.front(rows, viewpoint, x)
    expected = [[nearest(row, viewpoint, position) for position in line] for row, line in zip(rows, x, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_nothing_moves_from_the_photographs_own_viewpoint():
    rows = np.random.default_rng(0).normal(0, 5, (3, 20))
    x = np.random.default_rng(1).uniform(0, 19, (3, 50))
    np.testing.assert_allclose(parallax.front(rows, 0.0, x), x, atol=1e-12)


def test_depth_has_no_gaps():
    field = parallax.depth(2.0, (250, 370))
    assert field.shape == (250, 370)
    assert np.isfinite(field).all()
    assert -15 < field.min() < -2 < 2 < field.max() < 30
