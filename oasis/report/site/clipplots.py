"""A measure's values clip by clip, and what they say about the order of methods."""

import matplotlib
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from oasis.report.plots import STYLE, WIDTH, settle, shortened
from oasis.report.site.kinds import KINDS

MOST_METHODS = 24
LINKED_CLIPS = 24  # more grey lines than this are a fog
WHERE = {"higher": "higher is better", "lower": "lower is better", "zero": "0 is best", "one": "1 is best"}


def per_clip(scores: pd.DataFrame, summary: pd.DataFrame, titles: dict[str, str]) -> pd.DataFrame:
    """Return the data of `clip_plot`: for the best-ranked methods, a row per clip with the means and ranks repeated.

    `scores` and `summary` are of one data set and measure; `titles` by method. Infinite values are left out.
    """
    kept = summary.assign(order=[list(KINDS).index(str(kind)) for kind in summary["kind"]])
    kept = kept.sort_values(["complete", "rank", "order", "method"], ascending=[False, True, True, True]).head(MOST_METHODS)
    good = scores[scores["value"].notna() & np.isfinite(scores["value"].astype(float))]
    values = {key: part for key, part in good.groupby(["method", "kind"], observed=True)}
    parts = []
    for row in kept.to_dict("records"):
        part = values.get((row["method"], row["kind"]))
        clips = part[["clip", "value"]].astype({"clip": str}) if part is not None else pd.DataFrame({"clip": [""], "value": [np.nan]})
        facts = {name: row[name] for name in ("mean", "low", "high", "n_ok", "n_expected", "rank", "rank_low", "rank_high")}
        parts.append(clips.assign(method=row["method"], title=titles[str(row["method"])], kind=row["kind"], **facts))
    columns = ["method", "title", "kind", "clip", "value", "mean", "low", "high", "n_ok", "n_expected", "rank", "rank_low", "rank_high"]
    return pd.concat(parts, ignore_index=True)[columns]


@matplotlib.rc_context(STYLE)
def clip_plot(data: pd.DataFrame, title: str, unit: str, better: str) -> Figure:
    """Return two panels that share their methods: each clip's value with mean and interval, and ranks with their range."""
    each = data.drop_duplicates(["method", "kind"]).assign(place=range(data[["method", "kind"]].drop_duplicates().shape[0]))
    data = data.merge(each[["method", "kind", "place"]], on=["method", "kind"])
    figure = Figure(figsize=(WIDTH, 1.5 + 0.26 * max(len(each), 3)), layout="constrained")
    figure.suptitle(title)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    if data["clip"].nunique() <= LINKED_CLIPS:
        for _, line in data.dropna(subset="value").groupby("clip", sort=True):
            left.plot(line["value"], line["place"], color="0.75", linewidth=0.6, zorder=1)
    for (kind, color) in zip(KINDS.values(), sns.color_palette("colorblind"), strict=False):
        mine, means = data[data["kind"] == kind.name], each[(each["kind"] == kind.name) & each["mean"].map(np.isfinite)]
        if mine.empty:
            continue
        left.scatter(mine["value"], mine["place"], s=14, color=color, alpha=0.45, linewidths=0, zorder=2)
        left.scatter(means["mean"], means["place"], s=40, color=color, marker=kind.marker, edgecolors="black", linewidths=0.8,
                     zorder=4, label=kind.name)
        left.hlines(means["place"], means["low"], means["high"], color="black", linewidth=1.6, zorder=3)
        right.hlines(means["place"], means["rank_low"], means["rank_high"], color=color, linewidth=4, alpha=0.5)
        right.scatter(means["rank"], means["place"], s=40, color=color, marker=kind.marker, edgecolors="black", linewidths=0.8)
    left.set(title=f"{unit or 'value'} per clip, mean and 95 % interval", xlabel=f"{unit or 'no unit'} ({WHERE[better]})")
    labels = [f"{shortened(row.title)} ({row.n_ok}/{row.n_expected})" for row in each.itertuples()]
    left.set_yticks(range(len(each)), labels)
    left.set_ylim(len(each) - 0.5, -0.5)
    right.set(title="rank and its 95 % range", xlabel="rank of the mean over clips")
    right.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    right.tick_params(axis="y", length=0)
    for axes in (left, right):
        axes.grid(axis="x", color="0.9")
        axes.set_axisbelow(True)
    figure.legend(loc="outside lower left", ncols=2, frameon=False)
    sns.despine(fig=figure)
    settle(figure)
    return figure
