"""Scene cuts: hard ones are found, as soon as one more frame is seen."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from oasis import cuts
from oasis.data import builtin


def test_cuts_are_found() -> None:
    for name in ("chelsea-zoom", "camera-flower-cut", "rocket-hubble-cut"):
        clip = builtin.make(name, frames=9, height=96, width=160)
        assert cuts.find(clip.hr) == tuple(clip.cut)
    flat = np.zeros((5, 32, 32, 3), np.uint8)
    flash = flat.copy()
    flash[2] = 255
    assert cuts.find(flat) == cuts.find(flash) == cuts.find(flat[:1]) == ()


@given(st.lists(st.integers(0, 255), max_size=20))
def test_flat_pictures_are_cut_where_the_rule_says(levels: list[int]) -> None:
    frames = [np.full((4, 6, 3), level, np.uint8) for level in levels]
    change = [0, *(abs(after - before) for before, after in itertools.pairwise(levels)), 0]
    wanted = [t for t in range(len(levels)) if change[t] > 12 and change[t] > 4 * max(change[t - 1] if t else 0, change[t + 1])]
    assert list(cuts.find(frames)) == wanted


def test_one_frame_is_read_ahead() -> None:
    taken = 0

    def frames():
        nonlocal taken
        for _ in range(5):
            taken += 1
            yield np.zeros((2, 2, 3), np.uint8)

    for given_back, _ in enumerate(cuts.marked(frames(), lambda frame: frame), start=1):
        assert taken <= given_back + 1
    assert taken == given_back == 5
