"""An ablation's rows as differences to its reference, with intervals, as a table and as pictures."""

from collections.abc import Iterator
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from oasis import ablations, files, measures
from oasis.report.plots import STYLE, render

REFERENCE = {"routing": "dense", "schedule": "constant"}
"""The arm that the others are held against."""
SHOWN = ("psnr@y", "ssim@y", "ms_ssim@pyiqa", "gmsd@pyiqa", "ewarp_excess@dis-full-occ-x1000")
RESAMPLES = 10_000


def draw(rows: Path) -> Iterator[Path]:
    """Write the differences and the pictures beside a file of rows and yield their paths."""
    found, _ = ablations.read(rows)
    table = differences(pd.DataFrame(found))
    path = rows.with_name(f"{rows.stem}-differences.csv")
    with files.replacing(path) as whole:
        table.to_csv(whole, index=False, float_format="%.6g", lineterminator="\n")
    yield path
    figures = {lq: compared(part, str(lq)) for lq, part in table.groupby("lq")}
    if table["study"].iloc[0] == "routing":
        figures["kl"] = against_kl(table)
    for name, figure in figures.items():
        for kind in ("png", "svg"):
            path = rows.with_name(f"{rows.stem}-{name}.{kind}")
            with files.replacing(path) as whole:
                whole.write_bytes(render(figure, kind))
            yield path


def differences(rows: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Return every arm's mean difference to the reference, positive where the arm is better, with a 95 % bootstrap interval.

    Pairs are of one clip and, after training, one seed; clips are drawn anew with all their seeds, because seeds of one clip
    are alike. Rows (study, lq, measure, arm, control, trained, attention_flops_ratio, kl_total, seconds_ratio, mean,
    difference, low, high, clips, seeds).
    """
    found = []
    rows = rows.assign(trained=(rows["steps"] > 0).astype(int), seed=rows["seed"].fillna(-1).astype(int))
    for (study, lq, measure, trained), part in rows.groupby(["study", "lq", "measure", "trained"], sort=False):
        values = _goodness(part.pivot_table(index=["clip", "seed"], columns="arm", values="value"), str(measure))
        for arm, own in part.groupby("arm", sort=False):
            by_clip = (values[arm] - values[REFERENCE[str(study)]]).unstack("seed").to_numpy()
            draws = np.random.default_rng(seed).integers(len(by_clip), size=(RESAMPLES, len(by_clip)))
            low, high = np.quantile(by_clip.mean(axis=1)[draws].mean(axis=1), [0.025, 0.975])
            found.append(
                {
                    "study": study,
                    "lq": lq,
                    "measure": measure,
                    "arm": arm,
                    "control": own["control"].iloc[0],
                    "trained": trained,
                    "attention_flops_ratio": own["attention_flops_ratio"].iloc[0],
                    "kl_total": own["kl_total"].mean(),
                    "seconds_ratio": own["seconds_ratio"].iloc[0],
                    "mean": own["value"].mean(),
                    "difference": by_clip.mean(),
                    "low": low,
                    "high": high,
                    "clips": by_clip.shape[0],
                    "seeds": by_clip.shape[1],
                }
            )
    return pd.DataFrame(found)


def _goodness(values: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Return values of a measure as numbers that are higher where they are better."""
    better = measures.find(measure).better
    if better in ("zero", "one"):
        return -(values - {"zero": 0, "one": 1}[better]).abs()
    return values if better == "higher" else -values


@matplotlib.rc_context(STYLE)
def compared(table: pd.DataFrame, lq: str) -> Figure:
    """Draw the differences of all arms on one kind of LQ clip: one panel per measure, hollow before training, full after."""
    shown = [name for name in SHOWN if name in set(table["measure"])]
    arms = list(dict.fromkeys(table["arm"]))
    figure = Figure(figsize=(2.9 * len(shown) + 1.2, 0.36 * len(arms) + 1.5), layout="constrained")
    for axis, name in zip(figure.subplots(1, len(shown), sharey=True, squeeze=False)[0], shown, strict=True):
        for trained, face, shift in ((0, "white", -0.13), (1, None, 0.13)):
            part = table[(table["measure"] == name) & (table["trained"] == trained)]
            for row in part.to_dict("records"):
                colour = "C1" if row["control"] else "C0"
                place = arms.index(row["arm"]) + shift
                axis.plot([row["low"], row["high"]], [place, place], color=colour, linewidth=1)
                axis.plot(row["difference"], place, "o", color=colour, markerfacecolor=face or colour, markersize=5)
        axis.axvline(0, color="0.6", linewidth=0.8)
        axis.set_title(name, fontsize=9)
        axis.set_yticks(range(len(arms)), arms)
        axis.tick_params(labelsize=8)
        axis.locator_params(axis="x", nbins=3)
    figure.axes[0].invert_yaxis()
    reference = REFERENCE[str(table["study"].iloc[0])]
    shapes = "hollow: before training, full: after; " if len(set(table["trained"])) == 2 else ""
    figure.suptitle(
        f"Difference to {reference} on {lq} clips, right is better, 95 % intervals over clips\n{shapes}orange: controls",
        fontsize=9,
    )
    return figure


@matplotlib.rc_context(STYLE)
def against_kl(table: pd.DataFrame, measure: str = "psnr@y") -> Figure:
    """Draw what routings lose in quality against what their statistics lose, before and after training."""
    figure = Figure(figsize=(7.2, 3.4), layout="constrained")
    for axis, trained in zip(figure.subplots(1, 2, sharey=True), (0, 1), strict=True):
        part = table[(table["measure"] == measure) & (table["trained"] == trained) & (table["kl_total"] > 0)]
        middle = part["kl_total"].agg(["min", "max"]).mean()
        for number, row in enumerate(part.sort_values("kl_total").to_dict("records")):
            place = (row["kl_total"], row["difference"])
            axis.plot(*place, "o", color="C1" if row["control"] else "C0", markersize=5)
            left = place[0] > middle  # labels stay inside the axes, and those of near points lie above and below in turn
            offset = (-5 if left else 5, 3 if number % 2 else -8)
            side = "right" if left else "left"
            axis.annotate(row["arm"], place, fontsize=7, xytext=offset, textcoords="offset points", horizontalalignment=side)
        axis.axhline(0, color="0.6", linewidth=0.8)
        axis.set_title("after training" if trained else "before training", fontsize=9)
        axis.set_xlabel("KL of the routing, summed over heads (nats)", fontsize=8)
        axis.tick_params(labelsize=8)
    figure.axes[0].set_ylabel(f"{measure}, difference to dense", fontsize=8)
    return figure
