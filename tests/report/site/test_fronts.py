import itertools

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.text import Text

from oasis.report.site.frontplots import fronts
from oasis.report.site.speedplots import APART, _number

NUMBERS = st.lists(st.tuples(*[st.integers(0, 3)] * 4), min_size=1, max_size=12)


@given(NUMBERS)
def test_a_front_is_what_no_other_row_beats(points: list[tuple[int, ...]]) -> None:
    rows = [
        {"model": "m", "rule": f"r{n}", "control": 0, "attention_flops_ratio": a, "kl_total": b, "seconds_ratio": c,
         "measure": "psnr@rgb", "quality": 30.0 - d, "quality_dense": 30.0}
        for n, (a, b, c, d) in enumerate(points)
    ]  # fmt: skip
    found = next(fronts(pd.DataFrame(rows)))["front"].tolist()
    for mine, ours in zip(points, found, strict=True):
        beaten = any(all(x <= y for x, y in zip(other, mine, strict=True)) and other != mine for other in points)
        assert ours == (not beaten)


@given(NUMBERS)
def test_numbers_of_crowded_points_stand_apart(points: list[tuple[int, ...]]) -> None:
    x, y = (pd.Series(values, dtype=float) for values in zip(*[(a, b) for a, b, _, _ in points], strict=True))
    figure = Figure(figsize=(6, 4))
    axes = figure.subplots()
    axes.scatter(x, y)
    axes.margins(0.3)
    _number(axes, x, y, [str(number) for number in range(len(points))])
    figure.draw_without_rendering()
    places = [Text.get_window_extent(text).get_points().mean(axis=0) * 72 / figure.dpi for text in axes.texts]
    for one, other in itertools.combinations(places, 2):
        assert np.abs(one - other).max() > APART - 1  # boxes of digits are not centred to the point
