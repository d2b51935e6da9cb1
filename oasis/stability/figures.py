"""Pictures of how stable head statistics are: rows in, a `Figure` out."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from oasis.report.plots import STYLE, WIDTH, shortened
from oasis.stability.compared import CHANCE
from oasis.stability.resampled import Resampled
from oasis.stability.transfer import STATISTICS

LABELS = {"kl_mean": "mean KL (nats)", "kl_rel": "KL / log(N/|S|)"}
ANNOTATED = 24
"""Tables up to which cells of a matrix carry their numbers."""
HIGHEST = 0.999
"""Correlation at the end of the axis; what lies above is drawn there."""
MARKERS = "osD^vPX*"


@matplotlib.rc_context(STYLE)
def heads(intervals: pd.DataFrame, name: str, label: str) -> Figure:
    """Draw every head's mean with its interval over the clips of one table, in order of the means, a panel per pattern."""
    rows = intervals[intervals["table"] == name]
    patterns = list(dict.fromkeys(rows["pattern"]))
    figure = Figure(figsize=(WIDTH, 2.7 * len(patterns) + 0.5), layout="constrained")
    clips = rows["clips"].iloc[0]
    figure.suptitle(f"Every head of {shortened(name)} over {clips} clips: mean, 95 % interval; colour: layer")
    colors = matplotlib.colormaps["viridis"]
    norm = Normalize(0, max(1, rows["layer"].max()))
    for axes, pattern in zip(figure.subplots(len(patterns), 1, squeeze=False)[:, 0], patterns, strict=True):
        part = rows[rows["pattern"] == pattern].sort_values(["mean", "layer", "head"])
        place = np.arange(len(part))
        axes.vlines(place, part["low"], part["high"], color="0.55", linewidth=1.2)
        axes.scatter(place, part["mean"], c=colors(norm(part["layer"])), s=14, zorder=3)
        axes.set(title=pattern, ylabel=label, xlim=(-1, len(part)), ylim=(0, None))
        axes.set_xticks([])
    axes.set_xlabel(f"{len(part)} heads, in order of their mean")
    bar = figure.colorbar(matplotlib.cm.ScalarMappable(norm, colors), ax=figure.axes, aspect=40, pad=0.01, label="layer")
    bar.ax.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
    sns.despine(fig=figure)
    bar.outline.set_visible(True)
    return figure


@matplotlib.rc_context(STYLE)
def matrix(pairs: pd.DataFrame, tables: Sequence[str]) -> Figure:
    """Draw Spearman's rank correlation of the heads between every two tables, a matrix per pattern."""
    rows = pairs[pairs["measure"] == "spearman"]
    patterns = list(dict.fromkeys(rows["pattern"]))
    count = len(tables)
    beside = min(2, len(patterns)) if count <= 8 else 1
    side = WIDTH / beside
    down = -(-len(patterns) // beside)
    figure = Figure(figsize=(WIDTH, down * (0.62 * side + 1.3)), layout="constrained")
    figure.suptitle("Spearman's rank correlation of the heads between tables")
    norm = Normalize(0.5, 1)
    colors = matplotlib.colormaps["viridis"].with_extremes(bad="0.9")
    for axes, pattern in zip(figure.subplots(down, beside, squeeze=False).flat, patterns, strict=True):
        cells = np.full((count, count), np.nan)
        for row in rows[rows["pattern"] == pattern].itertuples():
            a, b = tables.index(row.a), tables.index(row.b)
            cells[a, b] = cells[b, a] = row.value
        image = axes.imshow(cells, cmap=colors, norm=norm, aspect="auto")
        if count <= ANNOTATED:
            for (up, across), value in np.ndenumerate(cells):
                if np.isfinite(value):
                    ink = "black" if norm(value) > 0.55 else "white"
                    axes.text(
                        across, up, f"{value:.2f}", ha="center", va="center", color=ink, fontsize=min(8, 130 / count / beside)
                    )
        names = [shortened(name, 36) for name in tables]
        axes.set_yticks(range(count), names)
        axes.set_xticks(range(count), names, rotation=40, ha="right", rotation_mode="anchor")
        axes.tick_params(length=0)
        axes.set_title(pattern)
    figure.colorbar(image, ax=figure.axes, aspect=50, pad=0.01, label="Spearman", extend="min")
    return figure


@matplotlib.rc_context(STYLE)
def against(pairs: pd.DataFrame, tables: Sequence[str], reference: str) -> Figure:
    """Draw every table against the reference: rank correlation, changed heads and regret, with intervals and chance."""
    others = [name for name in tables if name != reference]
    rows = pairs[((pairs["a"] == reference) & pairs["b"].isin(others)) | ((pairs["b"] == reference) & pairs["a"].isin(others))]
    rows = rows.assign(other=np.where(rows["a"] == reference, rows["b"], rows["a"]))
    patterns = list(dict.fromkeys(rows.loc[rows["measure"] == "spearman", "pattern"]))
    figure = Figure(figsize=(WIDTH, 0.32 * len(others) + 2.0), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    colors = sns.color_palette("colorblind", len(patterns))
    for number, (pattern, color) in enumerate(zip(patterns, colors, strict=True)):
        shift = 0.3 * ((number + 0.5) / len(patterns) - 0.5)
        _points(
            panels[0],
            rows[rows["pattern"] == pattern],
            "spearman",
            others,
            color=color,
            shift=shift,
            marker=MARKERS[number % 8],
        )
    _points(panels[1], rows, "changed", others, color="0.2", shift=0, marker="o")
    forth = rows[rows["a"] == reference]
    _points(panels[2], forth, "regret_share", others, color="0.2", shift=0, marker="o")
    titles = ("rank correlation (Spearman)", "share of heads that change", "regret (share of the gain)")
    breaks = [n - 0.5 for n in range(1, len(others)) if others[n].partition("/")[0] != others[n - 1].partition("/")[0]]
    for axes, title in zip(panels, titles, strict=True):
        axes.set_title(title)
        for place in breaks if any("/" in name for name in others) else ():
            axes.axhline(place, color="0.75", linewidth=0.8)
        axes.grid(axis="x", color="0.9", linewidth=0.8)
        axes.set_axisbelow(True)
    _correlations(panels[0])
    for axes in panels[1:]:
        axes.set_xlim(left=min(0, -0.02 * axes.get_xlim()[1]))
    axes = panels[0]
    axes.set_yticks(range(len(others)), [shortened(name, 36) for name in others])
    axes.set_ylim(len(others) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    handles = [
        Line2D([], [], color=color, marker=MARKERS[number % 8], linewidth=1.2, markersize=5, label=pattern)
        for number, (pattern, color) in enumerate(zip(patterns, colors, strict=True))
    ]
    handles.append(
        Line2D([], [], color="tab:orange", linewidth=5, alpha=0.35, label="two drawings of one table's clips (95 %)")
    )
    figure.legend(handles=handles, loc="outside lower center", ncols=min(4, len(handles)), frameon=False)
    figure.suptitle(f"Every table against {shortened(reference)}, 95 % intervals over clips")
    sns.despine(fig=figure)
    return figure


def _correlations(axes: Axes) -> None:
    """Scale an axis of correlations by Fisher's z, so that 0.9 and 0.99 lie apart."""
    lowest = min(axes.get_xlim()[0], 0.8)
    axes.set_xscale("function", functions=(lambda r: np.arctanh(np.clip(r, -HIGHEST, HIGHEST)), np.tanh))
    axes.set_xlim(max(lowest, -HIGHEST), HIGHEST)
    ticks = [tick for tick in (-0.9, -0.5, 0, 0.5, 0.9, 0.97, 0.99, 0.999) if tick >= lowest]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()


def _points(
    axes: Axes, rows: pd.DataFrame, measure: str, others: Sequence[str], *, color: Any, shift: float, marker: str
) -> None:
    for row in rows[rows["measure"] == measure + CHANCE].itertuples():
        place = others.index(row.other) + shift
        axes.plot([row.low, row.high], [place, place], color="tab:orange", linewidth=5, alpha=0.35, solid_capstyle="butt")
    for row in rows[rows["measure"] == measure].itertuples():
        place = others.index(row.other) + shift
        axes.plot([row.low, row.high], [place, place], color=color, linewidth=1.2)
        axes.plot(row.value, place, marker=marker, color=color, markersize=5, clip_on=False)


@matplotlib.rc_context(STYLE)
def clips(curve: pd.DataFrame, name: str) -> Figure:
    """Draw what k clips say against all clips and against k others: rank correlation, equal patterns, regret."""
    figure = Figure(figsize=(WIDTH, 3.6), layout="constrained")
    patterns = [pattern for pattern in dict.fromkeys(curve["pattern"]) if pattern]
    colors = sns.color_palette("colorblind", max(1, len(patterns)))
    panels = (
        ("spearman", "rank correlation of heads"),
        ("same", "share of heads of equal pattern"),
        ("regret_share", "regret"),
    )
    for axes, (measure, title) in zip(figure.subplots(1, 3), panels, strict=True):
        part = curve[curve["measure"] == measure]
        for (pattern, against), line in part.groupby(["pattern", "against"], sort=False):
            color = colors[patterns.index(pattern)] if pattern else "0.2"
            honest = against == "others"
            marker = MARKERS[patterns.index(pattern) % 8] if pattern else "o"
            style = {"marker": marker, "linestyle": "-" if honest else ":", "markersize": 5}
            axes.plot(line["clips"], line["mean"], color=color, markerfacecolor=color if honest else "white", **style)
            if honest:
                axes.fill_between(line["clips"], line["low"], line["high"], color=color, alpha=0.15, linewidth=0)
        axes.set(title=title, xlabel="clips")
        axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
        axes.set_ylim(*((0, None) if measure == "regret_share" else (None, 1.01)))
    handles = [
        Line2D([], [], color=color, marker=MARKERS[number % 8], label=pattern, markersize=5)
        for number, (pattern, color) in enumerate(zip(patterns, colors, strict=False))
    ]
    handles += [
        Line2D([], [], color="0.2", marker="o", label="k clips against k others (band: 95 % of draws)", markersize=5),
        Line2D(
            [],
            [],
            color="0.2",
            marker="o",
            markerfacecolor="white",
            linestyle=":",
            label="against all, them included",
            markersize=5,
        ),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(4, len(handles)), frameon=False)
    figure.suptitle(f"How many clips of {shortened(name)} are enough")
    sns.despine(fig=figure)
    return figure


@matplotlib.rc_context(STYLE)
def transfer(reference: Resampled, others: Sequence[Resampled]) -> Figure:
    """Draw the heads of tables of other grids over those of the reference, with the identity line: KL, and KL / log(N/|S|)."""
    figure = Figure(figsize=(WIDTH, 4.9), layout="constrained")
    colors = sns.color_palette("colorblind", len(others))
    for axes, statistic in zip(figure.subplots(1, 2), STATISTICS, strict=True):
        across = reference.means(statistic)
        top = 1.05 * max(each.means(statistic).max() for each in (reference, *others))
        for color, each in zip(colors, others, strict=True):
            for number, heads in enumerate(each.means(statistic)):
                axes.scatter(across[number], heads, color=color, marker=MARKERS[number % 8], s=13, alpha=0.6, linewidths=0)
        axes.plot([0, top], [0, top], color="0.4", linewidth=1, linestyle="--", zorder=0)
        axes.set(xlim=(0, top), ylim=(0, top), title=LABELS[statistic], ylabel="other grid")
        axes.set_xlabel(f"{shortened(reference.name)}: {reference.table.grid}")
        axes.set_box_aspect(1)
    handles = [
        Line2D([], [], color=color, linestyle="", marker="o", label=f"{shortened(each.name)}: {each.table.grid}")
        for color, each in zip(colors, others, strict=True)
    ]
    handles += [
        Line2D([], [], color="0.4", linestyle="", marker=MARKERS[number % 8], label=pattern)
        for number, pattern in enumerate(reference.local)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    figure.suptitle("The same heads on another grid: tokens (t, h, w)")
    sns.despine(fig=figure)
    return figure
