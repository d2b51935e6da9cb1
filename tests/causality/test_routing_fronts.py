"""Tables of a frontier on rows whose differences and orders are known."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from oasis.causality import fronts
from oasis.causality.arms import RANDOM
from oasis.frontiers import TOTALS

STEPS, CLIPS = (0.3, 0.6), ("a", "b", "c")
WORTH = {name: 30.0 for pair in fronts.PAIRS for name in pair} | {"budget KL": 33.0, RANDOM: 31.0}
CLIP = dict(zip(CLIPS, (0.0, 20.0, -10.0), strict=True))
"""dB that a clip is easier than another: more than any difference between arms."""

STRETCH = stats.t.ppf(0.975, 2) / stats.norm.ppf(0.975) * (3 / 2) ** 0.5
"""Of intervals over three clips."""


def rows(**changed):
    found = []
    for (number, arm), ratio, clip in itertools.product(enumerate(WORTH), STEPS, CLIPS):
        for seed in (0, 1) if arm == RANDOM else (None,):
            psnr = WORTH[arm] + CLIP[clip] + 10 * ratio + (seed or 0)
            mse = 10 ** (-psnr / 10)
            totals = dict.fromkeys((f"{name}_total" for name in TOTALS), number + 100 * ratio) | {"latent_mse_total": -psnr}
            values = {"latent_mse": mse, "latent_mse_rel": mse, "psnr_to_dense": psnr, "psnr_y": psnr - 1, "psnr_y_dense": psnr}
            where = {"arm": arm, "control": int(arm == RANDOM), "seed": seed, "ratio": ratio, "attention_flops_ratio": ratio}
            found.append({**where, "clip": clip, **totals, **values} | changed)
    return pd.DataFrame(found)


def test_differences_are_paired_by_clip_and_step():
    table = fronts.differences(rows())
    one = table[(table["first"] == "budget KL") & (table["second"] == RANDOM) & (table["measure"] == "psnr_to_dense")]
    assert [None if pd.isna(ratio) else ratio for ratio in one["ratio"]] == [0.3, 0.6, None]
    assert one["difference"].to_numpy() == pytest.approx(np.full(3, 33 - 31.5))  # two draws, 1 dB apart
    # The resamples of two draws reach half a dB to either side; arms are stretched as three clips ask for.
    assert one["low"].to_numpy() == pytest.approx(np.full(3, 1.5 - 0.5 * STRETCH))
    assert one["high"].to_numpy() == pytest.approx(np.full(3, 1.5 + 0.5 * STRETCH))
    other = table[(table["first"] == "budget KL") & (table["second"] == "budget harm")]
    assert other[["difference", "low", "high"]].to_numpy() == pytest.approx(np.full((6, 3), 3.0))  # clips differ by 30 dB


def test_means_over_random_are_paired_and_harm_is_a_geometric_mean():
    table = fronts.means(rows()).set_index(["arm", "ratio"])
    kl = table.loc[("budget KL", 0.6)]
    assert [kl["over_random"], kl["over_random_low"], kl["over_random_high"]] == pytest.approx([1.5] * 3)
    assert kl["harm"] == pytest.approx(10 ** (-(33 + 10 / 3 + 6) / 10)) and kl["gain"] == pytest.approx(-1)
    random = table.loc[(RANDOM, 0.3)]
    assert [random["over_random"], random["over_random_low"], random["over_random_high"]] == pytest.approx(
        [0, -0.5 * STRETCH, 0.5 * STRETCH]
    )


def test_equal_outputs_are_no_infinite_gain():
    same = rows(psnr_to_dense=np.inf)
    assert set(fronts.differences(same).query("measure == 'psnr_to_dense'")["difference"]) == {0.0}
    assert set(fronts.means(same)["psnr_to_dense"]) == {fronts.HIGHEST}


def test_without_ground_truth_there_is_no_quality():
    table = fronts.differences(rows(psnr_y=None, psnr_y_dense=None))
    assert set(table["measure"]) == {"psnr_to_dense"} and fronts.means(rows(psnr_y=None))["gain"].isna().all()


def test_sums_that_order_the_harm_are_found():
    table = fronts.predicted(rows()).set_index("statistic")
    right = table.loc["latent_mse"]
    assert [right["spearman"], right["within"], right["within_low"]] == pytest.approx([1, 1, 1])
    wrong = table.loc["kl_mean"]  # more at higher steps, where harm is less
    assert wrong["spearman"] < -0.4 and wrong["within"] < 0.9 and wrong["routings"] == 2 * (len(WORTH) + 1)
