"""Routings against each other: KL, FLOPs, time and quality, and which routings no other one beats in all four."""

from collections.abc import Iterator
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from oasis import measures
from oasis.report.plots import STYLE, WIDTH, settle

AXES = {
    "attention_flops_ratio": "attention FLOPs, routed over dense",
    "kl_total": "KL, summed over heads (nats)",
    "seconds_ratio": "time of the network, routed over dense",
    "loss": "quality lost against dense",
}
PAIRS = (
    ("attention_flops_ratio", "kl_total"),
    ("attention_flops_ratio", "loss"),
    ("seconds_ratio", "loss"),
    ("kl_total", "loss"),
)


def fronts(routings: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Yield the data of a figure per model and measure: its routings, the quality that each loses, and the front.

    `loss` is above 0 where the routing is worse than dense, in the measure's unit; `front` says that no other routing is
    at least as good in KL, FLOPs, time and loss and better in one of them.
    """
    if routings.empty:
        return
    for (_, measure), data in routings.groupby(["model", "measure"], sort=True):
        better = measures.find(str(measure)).better
        loss = _badness(data["quality"], better) - _badness(data["quality_dense"], better)
        data = data.assign(loss=loss, family=data["rule"].str.partition(":")[0])
        yield data.assign(front=_unbeaten(data[list(AXES)].to_numpy(float))).reset_index(drop=True)


@matplotlib.rc_context(STYLE)
def front_plot(data: pd.DataFrame) -> Figure:
    """Return four panels, a point per routing; rings mark the front over all four quantities, hollow points are controls."""
    unit = measures.find(data["measure"].iloc[0]).unit
    names = {**AXES, "loss": f"{data['measure'].iloc[0]} lost against dense{f' ({unit})' if unit else ''}"}
    figure = Figure(figsize=(WIDTH, 7.4), layout="constrained")
    figure.suptitle(f"Routings of {data['model'].iloc[0]}: lower is better on every axis")
    families = list(dict.fromkeys(data["family"]))
    colors = dict(zip(families, sns.color_palette("colorblind", len(families)), strict=True))
    marks = dict(zip(families, ("osD^vP*X" * len(families))[: len(families)], strict=True))
    for axes, (x, y) in zip(figure.subplots(2, 2).flat, PAIRS, strict=True):
        ringed = data[data["front"]]
        axes.scatter(ringed[x], ringed[y], s=150, facecolors="none", edgecolors="black", linewidths=1.2, zorder=2)
        for family, part in data.groupby("family", sort=False):
            color = colors[family]
            faces = [(1.0, 1.0, 1.0) if control else color for control in part["control"]]
            axes.scatter(part[x], part[y], s=46, c=faces, edgecolors=[color], marker=marks[family], linewidths=1.4, zorder=3)
        axes.set(xlabel=names[x], ylabel=names[y])
        axes.margins(0.08)
        axes.grid(color="0.9")
        axes.set_axisbelow(True)
    style: dict[str, Any] = {"linestyle": "", "markersize": 7}
    handles = [
        Line2D([], [], marker=marks[name], markerfacecolor=_face(data, name, colors[name]), markeredgecolor=colors[name], label=name, **style)
        for name in families
    ]
    handles.append(Line2D([], [], linestyle="", marker="o", markersize=12, markerfacecolor="none", markeredgecolor="black", label="beaten by none in all four"))
    figure.legend(handles=handles, loc="outside lower left", ncols=5, frameon=False, title="filled: a rule; hollow: a control", alignment="left")
    sns.despine(fig=figure)
    settle(figure)
    return figure


def _face(data: pd.DataFrame, family: str, color: Any) -> Any:
    return "white" if data.loc[data["family"] == family, "control"].all() else color


def _badness(values: "pd.Series[float]", better: str) -> "pd.Series[float]":
    signs: dict[str, Any] = {"higher": -values, "lower": values, "zero": values.abs(), "one": (values - 1).abs()}
    found: pd.Series[float] = signs[better]
    return found


def _unbeaten(costs: Any) -> Any:
    """Return for each row of (routings x quantities), all better when lower, whether no other row beats it."""
    as_good = (costs[None] <= costs[:, None]).all(axis=2)
    better = (costs[None] < costs[:, None]).any(axis=2)
    return ~np.any(as_good & better, axis=1)
