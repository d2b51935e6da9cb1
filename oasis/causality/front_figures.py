"""The figure of a frontier: what routings cost against what they lose, all in one."""

from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from oasis.causality.arms import BUDGETS, RANDOM, SCATTERED, WORST
from oasis.report.plots import STYLE, WIDTH

SHOWN: dict[str, dict[str, Any]] = {
    **{name: {"color": f"C{number}", "marker": "osD^v"[number], "linewidth": 1.4} for number, name in enumerate(BUDGETS)},
    "greedy KL": {"color": "C0", "marker": "x", "linestyle": ":", "linewidth": 1.0},
    "threshold KL": {"color": "C0", "marker": "+", "linestyle": "--", "linewidth": 1.0},
    "quota KL": {"color": "C0", "marker": "1", "linestyle": "-.", "linewidth": 1.0},
    RANDOM: {"color": "0.45", "marker": "o", "linestyle": "-", "linewidth": 1.2},
    SCATTERED: {"color": "0.45", "marker": "s", "linestyle": "--", "linewidth": 1.0},
    **{name: {"color": "0.7", "marker": "v^"[number], "linestyle": ":", "linewidth": 1.0} for number, name in enumerate(WORST)},
}
APART = 0.0055
"""Between arms at one cost, so that their bars can be told apart."""


@matplotlib.rc_context(STYLE)
def frontier(means: pd.DataFrame) -> Figure:
    """Draw cost against loss for all arms, controls in grey.

    Left the loss itself, which differs more between clips than between arms. Right, with 95 % intervals, what is paired by
    clip: PSNR to dense over that of random routings, and, where there is a ground truth, psnr@y over that of dense.
    """
    figure = Figure(figsize=(WIDTH, 6.4), layout="constrained")
    truth = bool(means["gain"].notna().all())
    panels = figure.subplot_mosaic([["harm", "over_random"], ["harm", "gain"]] if truth else [["harm", "over_random"]])
    for name, axes in panels.items():
        _draw(axes, means, str(name))
        axes.set_xlabel("attention FLOPs as a share of dense")
    panels["harm"].set(yscale="log", ylabel="latent MSE / variance of the dense latents (geometric mean over clips)")
    panels["over_random"].set_ylabel("PSNR to dense,\nless that of random (dB)")
    if truth:
        panels["gain"].set_ylabel("psnr@y to the ground truth,\nless that of dense (dB)")
    known = dict(zip(*reversed(panels["harm"].get_legend_handles_labels()), strict=True))
    order = [name for name in SHOWN if name in known] + [name for name in known if name not in SHOWN]
    figure.legend([known[name] for name in order], order, loc="outside lower center", ncols=4, frameon=False)
    figure.suptitle("What routings cost and lose on held-out clips, executed; grey: controls; bars: 95 % over clips and draws")
    return figure


def _draw(axes: Axes, means: pd.DataFrame, name: str) -> None:
    paired = name != "harm"
    if paired:
        axes.axhline(0, color="0.3", linewidth=0.8)
    for number, (arm, style) in reversed(list(enumerate(SHOWN.items()))):  # budgets last, above the controls
        part = means[means["arm"] == arm].sort_values("ratio")
        beside = APART * (number - len(SHOWN) / 2) if paired else 0.0
        _line(axes, part, name, beside, {"label": arm, "markersize": 4.5, **style})
    uniform = means[means["ratio"].isna() & means[name].notna()]
    for number, arm in enumerate(uniform["arm"]):
        style = {"color": "black", "marker": "*PX"[number % 3], "linestyle": "", "markersize": 7, "label": arm}
        _line(axes, uniform[uniform["arm"] == arm], name, 0.0, style)


def _line(axes: Axes, part: pd.DataFrame, name: str, beside: float, style: dict[str, Any]) -> None:
    x = part["attention_flops_ratio"].to_numpy() + beside
    if name != "harm":
        axes.vlines(x, part[f"{name}_low"], part[f"{name}_high"], color=style["color"], linewidth=0.7, alpha=0.7)
    axes.plot(x, part[name], **style)


@matplotlib.rc_context(STYLE)
def predictions(rows: pd.DataFrame, predicted: pd.DataFrame) -> Figure:
    """Draw the executed latent MSE of every routing against the sum of its heads' single harms, and against its total KL."""
    figure = Figure(figsize=(WIDTH, 3.9), layout="constrained")
    mean = rows.assign(log=np.log10(np.maximum(rows["latent_mse"], 1e-15)), seed=rows["seed"].fillna(-1))
    keys = ["arm", "seed", "ratio", "control"]
    points = mean.fillna({"ratio": 0.0}).groupby(keys, as_index=False)[["log", "latent_mse_total", "kl_mean_total"]].mean()
    correlations = predicted.set_index("statistic")
    names = {"latent_mse": "sum of the single harms (latent MSE)", "kl_mean": "sum of KL (nats)"}
    for axes, (name, label) in zip(figure.subplots(1, 2, sharey=True), names.items(), strict=True):
        for control, colour, text in ((1, "0.6", "controls"), (0, "C0", "chosen by a statistic or harm")):
            part = points[points["control"] == control]
            axes.scatter(part[f"{name}_total"], 10 ** part["log"], s=14, color=colour, alpha=0.8, label=text)
        row = correlations.loc[name]
        axes.set(xscale="log", yscale="log", xlabel=label)
        axes.set_title(f"Spearman {row['spearman']:.2f}, at equal cost {row['within']:.2f}", fontsize=9)
    figure.axes[0].set_ylabel("executed latent MSE, held-out clips")
    low, high = figure.axes[0].get_xlim()
    figure.axes[0].plot([low, high], [low, high], color="0.5", linestyle="--", linewidth=0.9, label="harms add up")
    figure.axes[0].set_xlim(low, high)
    figure.axes[0].legend(frameon=False, loc="upper left")
    return figure


@matplotlib.rc_context(STYLE)
def exact_fronts(fronts: pd.DataFrame) -> Figure:
    """Draw the exact Pareto front of every statistic: its sum, as a share of that at the lowest cost, against cost."""
    figure = Figure(figsize=(WIDTH, 3.8), layout="constrained")
    axes = figure.subplots()
    for name, statistic in BUDGETS.items():
        part = fronts[fronts["statistic"] == statistic]
        share = part["total"] / max(part["total"].max(), 1e-300)
        axes.plot(part["attention_flops_ratio"], share, drawstyle="steps-post", color=SHOWN[name]["color"], label=name)
    axes.set(xlabel="attention FLOPs as a share of dense", ylabel="sum over heads, as a share of the highest")
    axes.set(xlim=(0, 1), ylim=(0, None))
    axes.set_title("What each statistic promises: the least sum at every cost, exactly")
    axes.legend(frameon=False)
    return figure
