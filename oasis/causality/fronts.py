"""Tables of a frontier: means with intervals, paired differences at equal cost, and how well sums predict what happens."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Float

from oasis import rules
from oasis.bootstrap import replaced
from oasis.causality.arms import RANDOM, SCATTERED
from oasis.causality.rank import RESAMPLES, spearman, spearman_within
from oasis.frontiers import TOTALS
from oasis.losses import Losses

HIGHEST = 150.0
"""dB of PSNR beyond which float32 knows no difference; of equal outputs, too."""
MEASURES = {"psnr_to_dense": "PSNR to dense (dB)", "psnr_y": "psnr@y (dB)"}
PAIRS = (
    ("budget KL", RANDOM),
    ("budget KL", SCATTERED),
    ("budget KL", "inverse KL"),
    ("budget KL", "budget harm"),
    ("budget KL", "budget relative KL"),
    ("budget KL", "budget output error"),
    ("budget KL", "budget written change"),
    ("budget KL", "greedy KL"),
    ("budget KL", "threshold KL"),
    ("budget KL", "quota KL"),
    ("budget output error", RANDOM),
    ("budget written change", RANDOM),
    ("budget harm", RANDOM),
    ("budget harm", "budget written change"),
    ("budget harm", "inverse harm"),
)
"""Which arms are held against each other, the first minus the second, so that positive numbers speak for the first."""


def means(rows: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Return one row per arm and step: means over clips and draws with 95 % bootstrap intervals over both.

    `harm`: geometric mean of latent_mse_rel, as clips differ by orders of magnitude. `psnr_to_dense` in dB. `over_random`: the
    same less the mean of the random arm of this step on the same clip. `gain`: psnr@y less that of dense on the same clip.
    """
    psnr = rows["psnr_to_dense"].clip(upper=HIGHEST)
    chance = psnr[rows["arm"] == RANDOM].groupby([rows["ratio"], rows["clip"]]).mean()
    columns = {
        "harm": np.log10(np.maximum(rows["latent_mse_rel"], 10 ** (-HIGHEST / 10))),
        "psnr_to_dense": psnr,
        "over_random": psnr - chance.reindex(pd.MultiIndex.from_frame(rows[["ratio", "clip"]])).to_numpy(),
        "gain": (rows["psnr_y"] - rows["psnr_y_dense"]).astype(float),
    }
    found = []
    for (arm, ratio), part in rows.groupby(["arm", "ratio"], sort=False, dropna=False):
        row: dict[str, object] = {"arm": arm, "control": part["control"].iloc[0], "ratio": ratio}
        row["attention_flops_ratio"] = part["attention_flops_ratio"].mean()
        for name, values in columns.items():
            draws = _drawn(_by_seed(part.assign(value=values[part.index]))[:, None], seed)[:, 0]
            numbers = np.array([draws[0], *replaced(draws[0], draws, part["clip"].nunique())])
            row |= dict(zip((name, f"{name}_low", f"{name}_high"), 10**numbers if name == "harm" else numbers, strict=True))
        found.append(row)
    return pd.DataFrame(found)


def differences(rows: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Return the paired differences of PAIRS at every step, and their mean over the steps (ratio None), with intervals.

    Pairs are of one clip and step; 95 % bootstrap over clips and, independently, over the draws of a random arm.
    """
    found = []
    stepped = rows[rows["ratio"].notna()]
    for measure in MEASURES:
        if stepped[measure].isna().any():
            continue
        values = stepped.assign(value=stepped[measure].clip(upper=HIGHEST))
        for first, second in PAIRS:
            one, other = (_by_seed_and_step(values[values["arm"] == name]) for name in (first, second))
            draws = _drawn(one - other, seed)
            steps = sorted(stepped["ratio"].unique())
            for ratio, column in [*zip(steps, draws.T, strict=True), (None, draws.mean(axis=1))]:
                low, high = replaced(float(column[0]), column, one.shape[2])
                numbers = {"difference": float(column[0]), "low": low, "high": high}
                found.append({"measure": measure, "first": first, "second": second, "ratio": ratio, **numbers})
    return pd.DataFrame(found, columns=["measure", "first", "second", "ratio", "difference", "low", "high"])


def predicted(rows: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Return how well the sum of each statistic over heads orders the executed routings by their latent MSE.

    A point is a routing, by the geometric mean over clips; `within` orders only routings of one step, which cost alike.
    Intervals: bootstrap over clips and, independently, over the routings of every step. Uniform routings are in no step.
    """
    stepped = rows[rows["ratio"].notna()].assign(seed=rows["seed"].fillna(-1))
    logs = stepped.assign(value=np.log10(np.maximum(stepped["latent_mse"], 1e-15)))
    harm = logs.pivot_table(index=["ratio", "arm", "seed"], columns="clip", values="value", sort=True)
    routings = len(harm) // stepped["ratio"].nunique()
    cube = harm.to_numpy().reshape(-1, routings, harm.shape[1])
    generator = np.random.default_rng(seed)
    clips = generator.integers(cube.shape[2], size=(RESAMPLES, cube.shape[2]))
    which = generator.integers(routings, size=(RESAMPLES, cube.shape[0], routings))
    clips[0], which[0] = np.arange(cube.shape[2]), np.arange(routings)
    happened = np.stack([np.take_along_axis(cube[..., c].mean(axis=2), w, axis=1) for c, w in zip(clips, which, strict=True)])
    found = []
    for name in TOTALS:
        total = stepped.groupby(["ratio", "arm", "seed"], sort=True)[f"{name}_total"].first().to_numpy().reshape(cube.shape[:2])
        said = np.stack([np.take_along_axis(total, w, axis=1) for w in which])
        row: dict[str, object] = {"statistic": name, "routings": cube.shape[0] * routings, "clips": cube.shape[2]}
        within = spearman_within(said, happened)
        overall = spearman(said.reshape(RESAMPLES, -1), happened.reshape(RESAMPLES, -1))
        for column, draws in (("spearman", overall), ("within", within)):
            low, high = replaced(draws[0], draws, cube.shape[2])
            row |= {column: draws[0], f"{column}_low": max(low, -1.0), f"{column}_high": min(high, 1.0)}
        found.append(row)
    return pd.DataFrame(found)


def exact(by: Mapping[str, Losses]) -> pd.DataFrame:
    """Return every undominated (attention_flops_ratio, total) that a table can have, by statistic, cheapest first."""
    found = []
    for name, losses in by.items():
        dense = int(losses.choices.cost[0]) * losses.choices.loss[..., 0].size
        found += [(name, cost / dense, total) for cost, total in rules.front(losses.choices)]
    return pd.DataFrame(found, columns=["statistic", "attention_flops_ratio", "total"])


def _by_seed(part: pd.DataFrame) -> Float[np.ndarray, "seeds clips"]:
    return part.assign(seed=part["seed"].fillna(-1)).pivot(index="seed", columns="clip", values="value").to_numpy()


def _by_seed_and_step(part: pd.DataFrame) -> Float[np.ndarray, "seeds steps clips"]:
    part = part.assign(seed=part["seed"].fillna(-1))
    table = part.pivot(index=["seed", "ratio"], columns="clip", values="value").sort_index()
    return table.to_numpy().reshape(part["seed"].nunique(), -1, table.shape[1])


def _drawn(values: Float[np.ndarray, "seeds steps clips"], seed: int) -> Float[np.ndarray, "draws steps"]:
    """Return means over drawn clips and draws of random arms, the plain mean first."""
    generator = np.random.default_rng(seed)
    clips = generator.integers(values.shape[2], size=(RESAMPLES, values.shape[2]))
    seeds = generator.integers(values.shape[0], size=(RESAMPLES, values.shape[0]))
    clips[0], seeds[0] = np.arange(values.shape[2]), np.arange(values.shape[0])
    shares = [np.stack([(one == n).mean(axis=1) for n in range(one.max() + 1)], axis=1) for one in (seeds, clips)]
    return np.einsum("rs,stc,rc->rt", shares[0], values, shares[1], optimize=True)
