"""Figures of the redundancy tables: data frames in, a `Figure` out."""

from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from oasis import bootstrap
from oasis.redundancy.clusters import features
from oasis.report.plots import STYLE, WIDTH

PLACES = {
    "moved": "frame before, following the motion",
    "same": "frame before, same place",
    "beside": "own frame, next token",
    "elsewhere": "frame before, random place",
}


@matplotlib.rc_context(STYLE)
def head_matrix(similar: pd.DataFrame) -> Figure:
    """Return the mean CKA over clips of every two heads, layer by layer."""
    heads = similar[similar["of"] == "head"].astype({"head": int, "other_head": int})
    per_layer = int(heads["head"].max()) + 1
    one, other = heads["layer"] * per_layer + heads["head"], heads["other_layer"] * per_layer + heads["other_head"]
    cells = _symmetric(heads["cka"], one, other)
    figure = Figure(figsize=(WIDTH * 0.75, WIDTH * 0.68), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(cells, vmin=0, vmax=1, cmap="viridis")
    for edge in range(per_layer, len(cells), per_layer):
        axes.axhline(edge - 0.5, color="white", linewidth=0.6)
        axes.axvline(edge - 0.5, color="white", linewidth=0.6)
    layers = len(cells) // per_layer
    middles = [per_layer * (layer + 0.5) - 0.5 for layer in range(layers)]
    axes.set_xticks(middles, [str(layer) for layer in range(layers)])
    axes.set_yticks(middles, [str(layer) for layer in range(layers)])
    axes.tick_params(length=0)
    axes.set(xlabel=f"layer ({per_layer} heads each)", ylabel=f"layer ({per_layer} heads each)")
    axes.set_title("Linear CKA of the outputs of every two heads, mean over clips")
    figure.colorbar(image, ax=axes, label="linear CKA; 1 = the same up to rotation and scale", aspect=40)
    return figure


@matplotlib.rc_context(STYLE)
def layer_matrices(similar: pd.DataFrame) -> Figure:
    """Return the mean CKA over clips of the streams behind every two layers, and of what every two layers add."""
    figure = Figure(figsize=(WIDTH, WIDTH * 0.46), layout="constrained")
    titles = {"stream": "stream behind two layers", "update": "what two layers add to the stream"}
    axes = figure.subplots(1, 2, sharey=True)
    for panel, (of, title) in zip(axes, titles.items(), strict=True):
        rows = similar[similar["of"] == of]
        cells = _symmetric(rows["cka"], rows["layer"], rows["other_layer"])
        image = panel.imshow(cells, vmin=0, vmax=1, cmap="viridis")
        if len(cells) <= 12:
            for (i, j), value in np.ndenumerate(cells):
                ink = "white" if value < 0.6 else "black"
                panel.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=7, color=ink)
        panel.tick_params(length=0)
        panel.set(title=title, xlabel="layer")
    axes[0].set_ylabel("layer")
    figure.colorbar(image, ax=axes, label="linear CKA, mean over clips", aspect=40)
    return figure


@matplotlib.rc_context(STYLE)
def grouping(clusters: pd.DataFrame, groups: pd.DataFrame, heads: pd.DataFrame) -> Figure:
    """Return how well heads fall into k groups, and the heads on two principal components: colour group, shape pattern."""
    figure = Figure(figsize=(WIDTH, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(clusters["k"], clusters["silhouette"], "o-", color="C0", label="silhouette")
    left.plot(clusters["k"], clusters["rand"], "s-", color="C1", label="adjusted Rand to the routing table")
    left.fill_between(clusters["k"], clusters["rand_low"], clusters["rand_high"], color="C1", alpha=0.2)
    left.plot(clusters["k"], clusters["rand_chance"], ":", color="C1", label="95th percentile of chance")
    left.plot(clusters["k"], clusters["steady"], "^--", color="0.4", label="adjusted Rand to groups of other clips")
    left.set(xlabel="number of groups k", ylim=(min(-0.05, clusters["rand_low"].min()), 1.02), title="How many groups?")
    left.xaxis.get_major_locator().set_params(integer=True)
    left.legend(frameon=False, fontsize=7, loc="upper right")
    points = PCA(2).fit_transform(features(heads, sorted(heads["clip"].unique())))
    for number, (pattern, rows) in enumerate(groups.groupby("pattern")):
        for group, part in rows.groupby("group"):
            right.scatter(
                *points[part.index].T, marker="osD^vP"[number % 6], color=f"C{group}", edgecolor="0.2", linewidth=0.4, s=34
            )
        right.scatter([], [], marker="osD^vP"[number % 6], color="0.7", edgecolor="0.2", label=str(pattern))
    right.legend(frameon=False, fontsize=7, title="pattern (colour: group)", title_fontsize=7)
    right.set(xlabel="first principal component", ylabel="second", title="Heads by their statistics")
    sns.despine(fig=figure)
    return figure


@matplotlib.rc_context(STYLE)
def skipped(skips: pd.DataFrame) -> Figure:
    """Return what leaving out each layer, or each part of it, changes: mean and interval over clips."""
    figure = Figure(figsize=(WIDTH, 5.6), layout="constrained")
    known = skips["quality"].notna().any()
    axes = figure.subplots(2 if known else 1, 1, sharex=True, squeeze=False)[:, 0]
    _by_layer(axes[0], skips, "latent_rel")
    axes[0].set(yscale="log", ylabel="error of the latents\n/ their variance", title="One layer, or one part of it, left out")
    if known:
        _by_layer(axes[1], skips, "quality")
        axes[1].axhline(0, color="0.6", linewidth=0.8)
        axes[1].set_ylabel("change of PSNR-Y\nto the ground truth (dB)")
    axes[-1].set_xlabel("layer left out")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    sns.despine(fig=figure)
    return figure


@matplotlib.rc_context(STYLE)
def constants(rows: pd.DataFrame) -> Figure:
    """Return what other prompts and timesteps change: mean and interval over clips."""
    changes = list(dict.fromkeys(rows["change"]))
    figure = Figure(figsize=(WIDTH, 0.36 * len(changes) + 1.2), layout="constrained")
    columns = {"latent_rel": "error of the latents / their variance", "quality": "change of PSNR-Y to the ground truth (dB)"}
    shown = [name for name in columns if rows[name].notna().any()]
    axes = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    for panel, column in zip(axes, shown, strict=True):
        for place, change in enumerate(changes):
            found = bootstrap.mean(rows[rows["change"] == change].set_index("clip")[column])
            panel.plot([found.low, found.high], [place, place], color="C0")
            panel.plot(found.value, place, "o", color="C0", markersize=5)
        panel.set(yticks=range(len(changes)), yticklabels=changes, xlabel=columns[column])
    if rows["latent_rel"].min() > 0:
        axes[0].set_xscale("log")
    if "quality" in shown:
        axes[-1].axvline(0, color="0.6", linewidth=0.8)
    axes[0].invert_yaxis()
    sns.despine(fig=figure)
    return figure


@matplotlib.rc_context(STYLE)
def repeated(alike: pd.DataFrame) -> Figure:
    """Return how much of a token others foretell, by layer: mean and interval over clips."""
    figure = Figure(figsize=(WIDTH, 3.9), layout="constrained")
    titles = {"explained": "share of the token that the other foretells", "cosine": "mean cosine"}
    axes = figure.subplots(1, 2)
    by_clip = alike.groupby(["layer", "place", "clip"], as_index=False)[list(titles)].mean()
    for panel, (column, title) in zip(axes, titles.items(), strict=True):
        for number, (place, label) in enumerate(PLACES.items()):
            rows = by_clip[by_clip["place"] == place]
            _line(panel, rows, column, label, f"C{number}", "osD^"[number], 0.0)
        panel.set(title=title, xlabel="stream behind layer (-1: the embedding)")
        panel.xaxis.get_major_locator().set_params(integer=True)
        panel.axhline(0, color="0.6", linewidth=0.8)
    floor = max(-1.2, float(by_clip["explained"].min()) * 1.05)
    axes[0].set_ylim(min(floor, 0), 1)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    sns.despine(fig=figure)
    return figure


def _by_layer(axes: Axes, skips: pd.DataFrame, column: str) -> None:
    parts = list(dict.fromkeys(skips["part"]))
    for number, part in enumerate(parts):
        shift = 0.12 * (number - (len(parts) - 1) / 2)
        _line(axes, skips[skips["part"] == part], column, part, f"C{number}", "osD^"[number], shift)


def _line(axes: Axes, rows: pd.DataFrame, column: str, label: str, color: str, marker: str, shift: float) -> None:
    found = {layer: bootstrap.mean(part.set_index("clip")[column]) for layer, part in rows.groupby("layer")}
    places = [int(layer) + shift for layer in found]
    axes.vlines(places, [i.low for i in found.values()], [i.high for i in found.values()], color=color, linewidth=1.2)
    style: dict[str, Any] = {"color": color, "marker": marker, "markersize": 4.5, "linewidth": 0.8}
    axes.plot(places, [i.value for i in found.values()], label=label, **style)


def _symmetric(values: pd.Series, one: pd.Series, other: pd.Series) -> NDArray[np.float64]:
    """Return the mean over clips as a symmetric matrix with ones on its diagonal."""
    means = values.groupby([one, other]).mean()
    rows, columns = (np.array(means.index.get_level_values(level), dtype=int) for level in (0, 1))
    cells = np.eye(rows.max() + 1)
    cells[rows, columns] = cells[columns, rows] = means.to_numpy()
    return cells
