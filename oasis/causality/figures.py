"""Figures of harm: a map, harm against every statistic, rank correlations with intervals, additivity."""

from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from oasis.causality.additive import GROUPS
from oasis.causality.predict import CONTROLS, HARMS, STATISTICS, Measured
from oasis.report.plots import STYLE, WIDTH

MARKERS = "os^Dvp"
LEAST = 1e-12
"""Below the least harm that float32 shows: where a logarithmic axis begins for a harm of 0."""


@matplotlib.rc_context(STYLE)
def harm_map(measured: Measured) -> Figure:
    """Draw the latent MSE of every head alone, by layer and head, a panel per pattern, one logarithmic scale."""
    means = np.maximum(measured.harms["latent_mse"].mean(axis=0), LEAST)
    layers, heads, patterns = means.shape
    figure = Figure(figsize=(WIDTH, 1.3 + 0.32 * max(layers, 3)), layout="constrained")
    norm = LogNorm(means.min(), max(means.max(), means.min() * 1.01))
    colours = matplotlib.colormaps["viridis"]
    panels = figure.subplots(1, patterns, sharey=True, squeeze=False)[0]
    for number, (axes, name) in enumerate(zip(panels, measured.patterns, strict=True)):
        axes.imshow(means[..., number], cmap=colours, norm=norm, aspect="auto")
        axes.set(title=f"one head under {name}", xlabel="head", xticks=range(0, heads, -(-heads // 16)))
        axes.set_yticks(range(0, layers, -(-layers // 20)))
    panels[0].set_ylabel("layer")
    bar = figure.colorbar(ScalarMappable(norm, colours), ax=panels.tolist(), pad=0.01)
    bar.set_label("latent MSE to dense")
    return figure


@matplotlib.rc_context(STYLE)
def scatters(measured: Measured, correlations: pd.DataFrame) -> Figure:
    """Draw latent MSE against every statistic but the random one, a point per head and pattern, both axes logarithmic."""
    names = [name for name in STATISTICS if name in measured.statistics]
    rows = correlations[(correlations["harm"] == "latent_mse") & (correlations["control"] == "none")]
    overall = rows[rows["pattern"] == rows["pattern"].iloc[-1]].set_index("statistic")["spearman"]
    harm = np.maximum(measured.harms["latent_mse"].mean(axis=0), LEAST)
    layers = harm.shape[0]
    colours = matplotlib.colormaps["viridis"]
    norm = BoundaryNorm(np.arange(layers + 1) - 0.5, colours.N)
    figure = Figure(figsize=(WIDTH, 7.4), layout="constrained")
    panels = figure.subplots(3, 3, sharey=True)
    for axes, name in zip(panels.flat, names, strict=True):
        values = np.maximum(measured.statistics[name].mean(axis=0), LEAST)
        for number in range(harm.shape[2]):
            style: dict[str, Any] = {"c": _layers(harm[..., number]), "cmap": colours, "norm": norm, "marker": MARKERS[number]}
            axes.scatter(values[..., number], harm[..., number], s=16, edgecolors="0.3", linewidths=0.4, **style)
        axes.set(yscale="log", xlabel=STATISTICS[name])
        if name not in ("depth", "entropy", "dist"):
            _logarithmic(axes)
        axes.set_title(f"Spearman {overall[name]:.2f}", fontsize=9)
    for axes in panels[:, 0]:
        axes.set_ylabel("latent MSE to dense")
    shapes = [
        Line2D([], [], marker=MARKERS[number], color="0.4", linestyle="", markersize=5, label=name)
        for number, name in enumerate(measured.patterns)
    ]
    figure.legend(handles=shapes, loc="outside lower center", ncols=len(shapes), frameon=False)
    figure.colorbar(ScalarMappable(norm, colours), ax=panels, ticks=range(0, layers, -(-layers // 12)), label="layer", pad=0.01)
    figure.suptitle("What one head harms, against what its statistics say: a point per head and pattern, means over clips")
    return figure


@matplotlib.rc_context(STYLE)
def forest(correlations: pd.DataFrame, harm: str = "latent_mse") -> Figure:
    """Draw Spearman's correlation of every statistic with 95 % intervals: full overall, hollow within layers and patterns."""
    table = correlations[correlations["harm"] == harm]
    patterns, names = list(table["pattern"].unique()), [name for name in STATISTICS if name in set(table["statistic"])]
    figure = Figure(figsize=(WIDTH, 1.5 + 0.3 * len(names)), layout="constrained")
    for axes, pattern in zip(figure.subplots(1, len(patterns), sharey=True, squeeze=False)[0], patterns, strict=True):
        for row in table[table["pattern"] == pattern].to_dict("records"):
            overall = row["control"] == "none"
            colour = "0.55" if row["statistic"] in CONTROLS else "C0"
            place = names.index(row["statistic"]) + (-0.14 if overall else 0.14)
            axes.plot([row["low"], row["high"]], [place, place], color=colour, linewidth=1.2)
            axes.plot(row["spearman"], place, "o", color=colour, markerfacecolor=colour if overall else "white", markersize=5)
        axes.axvline(0, color="0.6", linewidth=0.8)
        axes.set(title="all patterns" if pattern == "all" else pattern, xlim=(-1, 1), xlabel="Spearman")
        axes.set_yticks(range(len(names)), [STATISTICS[name] for name in names])
    figure.axes[0].invert_yaxis()
    figure.suptitle(
        f"Which statistic orders heads by {HARMS[harm]}: full overall, hollow within layers and patterns, grey controls"
    )
    return figure


@matplotlib.rc_context(STYLE)
def additivity(sums: pd.DataFrame) -> Figure:
    """Draw joint harm against the sum of single harms, means over clips: pairs and whole layers."""
    means = sums.groupby(["group", "what"], as_index=False)[["together", "apart"]].mean()
    limits = np.maximum(means[["together", "apart"]].to_numpy(), LEAST)
    low, high = limits.min() / 1.5, limits.max() * 1.5
    figure = Figure(figsize=(WIDTH, 3.9), layout="constrained")
    panels = figure.subplots(1, 2)
    for number, group in enumerate(GROUPS):
        part = means[means["group"] == group]
        axes: Axes = panels[int(group == GROUPS[2])]
        x, y = (np.maximum(part[name], LEAST) for name in ("apart", "together"))
        axes.scatter(x, y, s=22, marker=MARKERS[number], color=f"C{number}", edgecolors="0.3", linewidths=0.4, label=group)
    for axes, title in zip(panels, ("pairs of heads", "whole layers"), strict=True):
        axes.plot([low, high], [low, high], color="0.5", linewidth=0.9, linestyle="--", label="harms add up")
        axes.set(xscale="log", yscale="log", title=title, xlabel="sum of the single harms (latent MSE)")
        axes.set(xlim=(low, high), ylim=(low, high))
        axes.legend(frameon=False, loc="upper left")
    panels[0].set_ylabel("joint harm (latent MSE)")
    return figure


def _logarithmic(axes: Axes) -> None:
    """Give the lower axis a logarithmic scale with few, plain labels, also where it spans less than a decade."""
    low, high = axes.get_xlim()
    low = max(low, axes.dataLim.minposx / 1.2)
    axes.set(xscale="log", xlim=(low, high))
    narrow = high / low < 30
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if narrow else (1,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())


def _layers(cells: np.ndarray) -> np.ndarray:
    return np.repeat(np.arange(cells.shape[0]), cells.shape[1])
