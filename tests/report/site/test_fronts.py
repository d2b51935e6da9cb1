import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from oasis.report.site.frontplots import fronts
from oasis.report.site.speedplots import _best

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
def test_quality_is_lost_downwards_or_upwards_as_the_measure_says(points: list[tuple[int, ...]]) -> None:
    seconds, values = np.array([(a, b) for a, b, _, _ in points], dtype=float).T
    up = _best(seconds, values, "higher")
    assert np.array_equal(up, _best(seconds, -values, "lower")) and up.any()
