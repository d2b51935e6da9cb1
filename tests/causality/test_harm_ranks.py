"""Rank correlations and additivity against SciPy and hand-made cases."""

import numpy as np
import pytest
from scipy import stats

from oasis.causality import additive, rank
from oasis.causality.variants import variants
from oasis.harms import Harm


def cube(seed, shape=(3, 4, 5, 2)):
    return np.random.default_rng(seed).random(shape)


def test_the_first_resample_is_the_sample_and_agrees_with_scipy():
    x, y = cube(0), cube(1)
    rows = rank.correlations({"kl_mean": x, "other": y}, y, ("a", "b"), reference="kl_mean")
    by = {(row["pattern"], row["control"], row["statistic"]): row for row in rows}
    means = x.mean(axis=0), y.mean(axis=0)
    for pattern, numbers in (("a", [0]), ("b", [1]), ("all", [0, 1])):
        one, other = (mean[..., numbers].ravel() for mean in means)
        row = by[pattern, "none", "kl_mean"]
        assert row["spearman"] == pytest.approx(stats.spearmanr(one, other).statistic)
        assert row["kendall"] == pytest.approx(stats.kendalltau(one, other).statistic)
        assert row["low"] <= row["spearman"] <= row["high"] and row["more"] == row["more_low"] == row["more_high"] == 0
        mine = by[pattern, "none", "other"]
        assert mine["spearman"] == pytest.approx(1) and mine["more"] == pytest.approx(1 - row["spearman"])
        cells = [stats.spearmanr(*(m[layer, :, n] for m in means)).statistic for layer in range(4) for n in numbers]
        assert by[pattern, "within", "kl_mean"]["spearman"] == pytest.approx(np.mean(cells))  # no ties, so the mean of them


def test_depth_explains_nothing_within_layers_and_random_numbers_nothing_at_all():
    depth = np.broadcast_to(np.arange(4, 0, -1.0)[None, :, None, None], (3, 4, 5, 2))
    harm = depth + 0.01 * cube(2)
    rows = rank.correlations({"kl_mean": cube(3), "depth": depth}, harm, ("a", "b"), reference="kl_mean")
    by = {(row["pattern"], row["control"], row["statistic"]): row for row in rows}
    assert by["all", "none", "depth"]["spearman"] > 0.9 and by["all", "within", "depth"]["spearman"] == 0
    random = by["all", "none", "random"]
    assert abs(random["spearman"]) < 0.05 and random["low"] < -0.2 and random["high"] > 0.2


def test_resamples_keep_layers_and_repeat_themselves():
    one, other = (rank.resamples(3, 4, 5, seed=7, draws=50) for _ in range(2))
    assert np.array_equal(one.heads, other.heads) and np.array_equal(one.weights, other.weights)
    values = np.broadcast_to(np.arange(4.0)[None, :, None, None], (3, 4, 5, 1))
    assert np.array_equal(rank.drawn(values, one)[..., 0], np.broadcast_to(np.arange(4.0)[None, :, None], (50, 4, 5)))
    assert one.weights.sum(axis=1) == pytest.approx(np.ones(50)) and len(np.unique(one.weights, axis=0)) > 5


def rows_of(harm, clips=("a", "b"), together=1.0):
    """Rows of all variants of 2 layers of 3 heads where a joint harm is `together` times the sum of single ones."""
    found = []
    for clip in clips:
        for variant in variants(2, 3, ["frame", "window-2x2"], pairs=12, seed=3):
            single = sum(harm(clip, *head, name) for head, name in zip(variant.heads, variant.patterns, strict=True))
            value = float(single if variant.kind == "head" else together * single)
            layers, heads, patterns = variant.names
            numbers = dict.fromkeys(("latent_mse", "latent_mse_rel", "pixel_mse"), value)
            found.append(
                Harm(
                    clip=clip,
                    kind=variant.kind,
                    layers=layers,
                    heads=heads,
                    patterns=patterns,
                    **numbers,
                    psnr_to_dense=30.0,
                    psnr_y_loss=None,
                )
            )
    return found


def harm_of(clip, layer, head, name):
    return (1 + layer + 3 * head) * (2 if name == "frame" else 5) * (1 if clip == "a" else 10)


@pytest.mark.parametrize("together", [1.0, 1.5])
def test_additivity_finds_the_factor(together):
    table = additive.summary(additive.sums(rows_of(harm_of, together=together), "latent_mse")).set_index("group")
    assert list(table.index) == list(additive.GROUPS)
    assert list(table["points"]) == [6, 6, 4] and set(table["clips"]) == {2}
    for name in ("ratio", "slope"):
        for end in ("", "_low", "_high"):
            assert table[name + end].to_numpy() == pytest.approx(np.full(3, together))
    assert table["spearman"].to_numpy() == pytest.approx(np.ones(3))
    assert (table["r2"] == 1).all() if together == 1 else (table["r2"] < 1).all()


def test_pairs_are_drawn_from_both_strata_each_once_and_as_the_seed_says():
    def pairs(**changed):
        given = {"layers": 3, "heads": 4, "patterns": ["frame", "window-2x2"], "pairs": 20, "seed": 0} | changed
        found = variants(given["layers"], given["heads"], given["patterns"], pairs=given["pairs"], seed=given["seed"])
        return [v for v in found if v.kind == "pair"]

    drawn = pairs()
    same = [v for v in drawn if v.heads[0][0] == v.heads[1][0]]
    assert len(drawn) == len(set(drawn)) == 20 and len(same) == 10
    assert drawn == pairs() and drawn != pairs(seed=1)
    assert len(pairs(layers=1, heads=3, pairs=1000)) == 3 * 4  # all that there are: three couples, two patterns each
    assert len(pairs(layers=1, heads=1)) == 0
    kinds = [v.kind for v in variants(3, 4, ["frame"], pairs=0, seed=0)]
    assert kinds == ["head"] * 12 + ["layer"] * 3
