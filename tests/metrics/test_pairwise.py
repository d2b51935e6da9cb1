import math

import numpy as np
import pytest

from oasis.metrics.frames import Frame
from oasis.metrics.meter import Result, Setting
from oasis.metrics.pairwise import Pairwise, Shown


def filled(scores, frames, reasons=None):
    meter = Pairwise(scores, Setting(clip="clip", frames=frames, height=2, width=2), reasons)
    for level in range(frames):
        meter.add(Frame(np.full((2, 2, 3), level, dtype=np.uint8)), None)
    return meter


def levels(number, before, now):
    return 10 * float(before.output.rgb.mean()) + float(now.output.rgb.mean())


def test_every_pair_is_scored_once_in_order():
    found = filled({"a@b": levels, "c@d": lambda number, before, now: number if number != 2 else None}, 4).result()
    assert found["a@b"] == Result(value=(1 + 12 + 23) / 3, series=(1, 12, 23), numbers=(1, 2, 3))
    assert found["c@d"] == Result(value=2, series=(1, 3), numbers=(1, 3))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(ValueError, match=f"clip: a@b of frame 1 is {value}, which is no score"):
        filled({"a@b": lambda number, before, now: value}, 2)


def test_clips_without_a_pair_that_counts_are_refused():
    nothing = {"a@b": lambda number, before, now: None}
    with pytest.raises(ValueError, match="clip: a@b counts no pair of frames: all is dark"):
        filled(nothing, 3, {"a@b": lambda: "all is dark"}).result()
    with pytest.raises(ValueError, match="clip: a@b compares neighbouring frames, the clip has 1"):
        filled(nothing, 1)
    assert filled({}, 1).result() == {}


def test_a_reference_that_is_not_there_is_refused():
    frame = Frame(np.zeros((2, 2, 3), dtype=np.uint8))
    assert Shown(frame, frame).known() is frame
    with pytest.raises(ValueError, match="given no reference"):
        Shown(frame, None).known()
