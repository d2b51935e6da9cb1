"""The rules on arrays: analytic cases, and the knapsack against every possible choice."""

import itertools
import math
import time

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from oasis import rules
from oasis.cost import attended_pairs
from oasis.grid import Grid
from oasis.routing import FRAME, GLOBAL, Pattern, window
from oasis.rules import Choices

GRID = Grid(5, 24, 40)
PATTERNS = (GLOBAL, FRAME, window(8, 8), window(8, 16))


def choices(loss, pairs=None, grid=GRID):
    """Choices from the loss of the local patterns, [layers, heads, patterns - 1]."""
    loss = np.asarray(loss, dtype=np.float64)
    patterns = PATTERNS[: loss.shape[-1] + 1]
    pairs = [attended_pairs(pattern, grid) for pattern in patterns] if pairs is None else pairs
    return Choices(
        patterns=patterns,
        pairs=np.array(pairs, np.int64),
        loss=np.concatenate([np.zeros_like(loss[..., :1]), loss], axis=-1),
    )


def every_choice(some):
    """(loss added from the last head to the first, pairs, choice) of every choice there is."""
    flat = some.loss.reshape(-1, len(some.patterns))
    for chosen in itertools.product(range(len(some.patterns)), repeat=len(flat)):
        loss = 0.0
        for row, pattern in zip(flat[::-1], chosen[::-1], strict=True):
            loss = float(row[pattern]) + loss
        yield loss, int(some.pairs[list(chosen)].sum()), chosen


TIES = st.sampled_from([0.0, 0.25, 0.5, 1.0])  # sums of these are exact
VALUES = TIES | st.sampled_from([0.1, 0.3, 1e-9]) | st.floats(0, 10)


@st.composite
def small_cases(draw, values=VALUES):
    shape = draw(st.sampled_from([(1, 1, 2), (1, 3, 2), (2, 2, 2), (2, 3, 2), (1, 4, 3), (2, 2, 3), (3, 2, 1)]))
    loss = draw(hnp.arrays(np.float64, shape, elements=values))
    pairs = [12, *draw(st.lists(st.integers(1, 12), min_size=shape[-1], max_size=shape[-1]))]
    return choices(loss, pairs)


@settings(max_examples=150, deadline=None)
@given(small_cases(), st.integers(1, 100))
def test_budget_is_the_best_of_every_choice(some, percent):
    size = some.loss[..., 0].size
    allowed = [item for item in every_choice(some) if 100 * item[1] <= percent * int(some.pairs[0]) * size]
    if not allowed:
        with pytest.raises(ValueError, match="out of reach"):
            rules.budget(some, percent / 100)
        return
    chosen = tuple(rules.budget(some, percent / 100).ravel())
    loss, pairs, _ = min(allowed)
    assert next(item for item in allowed if item[2] == chosen)[:2] == (loss, pairs)


@settings(max_examples=80, deadline=None)
@given(small_cases(TIES))
def test_budget_breaks_ties_by_pairs_then_by_head_and_pattern(some):
    assume(some.pairs.min() <= 9)
    allowed = [item for item in every_choice(some) if 4 * item[1] <= 3 * int(some.pairs[0]) * some.loss[..., 0].size]
    assert tuple(rules.budget(some, 0.75).ravel()) == min(allowed)[2]


@settings(max_examples=60, deadline=None)
@given(small_cases())
def test_front_holds_every_undominated_point(some):
    expected, best = [], math.inf
    for pairs, loss in sorted((pairs, loss) for loss, pairs, _ in every_choice(some)):
        if loss < best:
            expected.append((pairs, loss))
            best = loss
    assert rules.front(some) == expected


def test_budget_of_a_full_size_network_takes_seconds():
    generator = np.random.default_rng(0)
    some = choices(generator.gamma(1.0, 1.0, (30, 12, 3)), grid=Grid(21, 45, 80))
    start = time.perf_counter()
    chosen = rules.budget(some, 0.35)
    assert time.perf_counter() - start < 20  # measured: below one second
    assert some.ratio(chosen) <= 0.35
    same_counts = {pattern.name: int((chosen == i).sum()) for i, pattern in enumerate(some.patterns)}
    assert (
        some.total(chosen) <= some.total(rules.quota(some, same_counts)) < some.total(rules.random(some, same_counts, seed=0))
    )


def test_budget_names_the_lowest_ratio():
    some = choices([[[1.0], [2.0]]])
    with pytest.raises(ValueError, match=r"budget ratio 0.1 is out of reach; the lowest ratio of these patterns is 0.2$"):
        rules.budget(some, 0.1)
    assert rules.budget(some, 0.2).tolist() == [[1, 1]]


def test_budget_takes_a_decimal_ratio_at_its_word():
    # 0.7 as a float is below 7/10; seven of ten heads' worth must still fit.
    some = choices(np.ones((1, 10, 1)), pairs=[10, 0])
    assert int((rules.budget(some, 0.7) == 0).sum()) == 7


def test_budget_by_hand():
    some = choices([[[0.1, 0.2], [3.0, 0.5]], [[2.0, 9.0], [0.0, 4.0]]], pairs=[10, 4, 2])
    assert rules.budget(some, 1.0).tolist() == [[0, 0], [0, 1]]  # all that is free of loss, the cheaper if both are
    # 18 of 40 pairs: head (1, 0) is worth its 10, head (1, 1) loses nothing at 4, and 2 each are left for the others.
    assert rules.budget(some, 0.45).tolist() == [[2, 2], [0, 1]]
    assert rules.budget(some, 0.2).tolist() == [[2, 2], [2, 2]]


def test_threshold_by_hand():
    some = choices([[[0.1, 0.6], [0.6, 0.1], [0.4, 0.4], [0.5, 0.5]]])
    assert rules.threshold(some, 0.5).tolist() == [[1, 2, 2, 0]]
    assert rules.threshold(some, 0.0).tolist() == [[0, 0, 0, 0]]


@settings(max_examples=60, deadline=None)
@given(small_cases(), st.floats(0, 10), st.floats(0, 10))
def test_threshold_cost_falls_with_tau(some, one, other):
    low, high = sorted((one, other))
    assert some.ratio(rules.threshold(some, high)) <= some.ratio(rules.threshold(some, low))


@settings(max_examples=60, deadline=None)
@given(small_cases(), st.integers(1, 100), st.integers(1, 100))
def test_budget_loss_falls_with_ratio(some, one, other):
    low, high = sorted((one, other))
    try:
        tight = rules.budget(some, low / 100)
    except ValueError:
        return
    loose = rules.budget(some, high / 100)
    assert some.total(loose) <= some.total(tight) + 1e-12
    assert some.ratio(tight) <= low / 100 + 1e-12


def test_where_a_pattern_covers_the_grid_global_wins():
    grid = Grid(1, 6, 6)  # one frame: `frame` is global, and a window of 8x8 covers it
    some = choices(np.zeros((2, 2, 2)), grid=grid)
    assert set(some.pairs) == {grid.tokens**2}
    assert not rules.budget(some, 1.0).any()
    assert not rules.threshold(some, 0.5).any()


def test_quota_by_hand():
    # The window is the cheapest and takes the two heads that lose least by it; frame takes of the others the two that
    # lose least by frame; global keeps the last two.
    frame = [[5.0, 0.1, 0.2, 0.3, 9.0, 0.0]]
    win = [[0.1, 0.2, 9.0, 9.0, 9.0, 0.3]]
    some = choices(np.stack([frame, win], axis=-1), pairs=[10, 4, 2])
    assert rules.quota(some, {"global": 2, "frame": 2, "window": 2}).tolist() == [[2, 2, 1, 0, 0, 1]]


def test_quota_breaks_ties_by_layer_and_head():
    some = choices(np.ones((2, 3, 1)))
    assert rules.quota(some, {"global": 0.5, "frame": 0.5}).tolist() == [[1, 1, 1], [0, 0, 0]]
    # By the window the heads rank 3, 2, 1, 0; the tie by frame must not inherit that.
    some = choices([[[1.0, 0.4], [1.0, 0.3], [1.0, 0.2], [1.0, 0.1]]])
    assert rules.quota(some, {"window": 1, "frame": 1, "global": 2}).tolist() == [[1, 0, 0, 2]]


@settings(max_examples=40, deadline=None)
@given(small_cases(), st.booleans(), st.data())
def test_quota_and_random_meet_their_numbers(some, per_layer, data):
    parts = data.draw(st.lists(st.integers(0, 20), min_size=len(some.patterns), max_size=len(some.patterns)).filter(any))
    shares = {pattern.name: part / sum(parts) for pattern, part in zip(some.patterns, parts, strict=True)}
    chosen = rules.quota(some, shares, per_layer=per_layer)
    for row in chosen if per_layer else [chosen.ravel()]:
        for number, share in enumerate(shares.values()):
            assert abs(int((row == number).sum()) - share * len(row)) < 1 + 1e-9
    counts = {pattern.name: int((chosen == number).sum()) for number, pattern in enumerate(some.patterns)}
    drawn = rules.random(some, counts, seed=3)
    assert sorted(drawn.ravel()) == sorted(chosen.ravel())
    assert (drawn == rules.random(some, counts, seed=3)).all()


def test_random_depends_on_its_seed():
    some = choices(np.ones((4, 8, 1)))
    draws = {rules.random(some, {"global": 16, "frame": 16}, seed=seed).tobytes() for seed in range(4)}
    assert len(draws) == 4


def test_thirds_of_ten_heads():
    some = choices(np.ones((1, 10, 2)))
    chosen = rules.quota(some, {"global": 0.34, "frame": 0.33, "window": 0.33})
    assert np.bincount(chosen.ravel()).tolist() == [4, 3, 3]


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"global": 0.5, "frame": 0.4}, r"shares must add up to 1, or to the 4 heads, got 0.9"),
        ({}, r"got 0"),
        (
            {"frame": 1.0, "neighbour-1": 0.0},
            r"'neighbour-1' is not in the head statistics; allowed: global, frame, window-8x8",
        ),
        ({"global": 0.5, "window": 0.5}, r"'window' stands for several patterns"),
    ],
)
def test_shares_that_do_not_fit(shares, message):
    some = choices(np.ones((1, 4, 3)))
    with pytest.raises(ValueError, match=message):
        rules.quota(some, shares)


def test_uniform_gives_every_head_the_pattern():
    some = choices(np.ones((2, 3, 2)))
    assert rules.uniform(some, "window-8x8").tolist() == [[2, 2, 2], [2, 2, 2]]
    assert some.ratio(rules.uniform(some, "global")) == 1
    assert some.ratio(rules.uniform(some, "frame")) == 1 / 5
    assert some.total(rules.uniform(some, "frame")) == 6


def test_order_of_patterns_is_by_kind_and_size():
    mixed = [window(8, 16), Pattern(kind="sliding", radius=(1, 1)), window(8, 8, shift=True), FRAME, window(8, 8)]
    assert [p.name for p in sorted(mixed, key=rules._order)] == [
        "frame",
        "window-8x8",
        "window-8x8-shift",
        "window-8x16",
        "sliding-r1x1",
    ]
