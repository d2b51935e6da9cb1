"""Figures of head statistics: rows and arrays in, a `Figure` out; no pyplot state, no torch."""

import io
from collections.abc import Mapping
from typing import Any, Literal

import matplotlib
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from oasis.cost import uniform_kl
from oasis.report.run import grid_of, head_means, text_means
from oasis.routing import RoutingTable, parse_pattern

WIDTH = 9.6  # inches, of every figure: equal text on a page that scales them to its own width
ANNOTATED_HEADS = 12
STYLE: Any = {
    **sns.axes_style("ticks"),
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: equal bytes on every machine
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.labelsize": 9.0,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "legend.fontsize": 8.0,
    "figure.titlesize": 11.0,
    "text.parse_math": False,
    "svg.hashsalt": "oasis",
    "svg.fonttype": "path",
}
_DISTANCE = {
    "frame": ("dist_t", "mean temporal distance of keys (latent frames)"),
    "neighbour": ("dist_t", "mean temporal distance of keys (latent frames)"),
    "window": ("dist_xy", "mean spatial distance of keys (tokens)"),
    "sliding": ("dist_xy", "mean spatial distance of keys (tokens)"),
}


@matplotlib.rc_context(STYLE)
def render(figure: Figure, kind: Literal["png", "svg"]) -> bytes:
    """Return the figure as a PNG (150 dpi) or SVG file; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    metadata = {"Software": None} if kind == "png" else {"Date": None, "Creator": None}
    figure.savefig(buffer, format=kind, dpi=150, metadata=metadata)
    return buffer.getvalue()


def settle(figure: Figure) -> None:
    """Lay `figure` out once and for all: where several files are drawn from it, layout is half of the time of drawing."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def shortened(text: str, longest: int = 32) -> str:
    """Return `text`, cut and marked with an ellipsis where it is longer than a label may be."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


@matplotlib.rc_context(STYLE)
def kl_map(heads: pd.DataFrame, pattern: str) -> Figure:
    """Return two layer x head maps of `pattern`: mean KL over clips in nats, and kl_rel (1 = a uniform head).

    `heads` has the rows of heads.csv. The scales cover every pattern in it, so that maps can be compared.
    """
    means = head_means(heads)
    grid, clips = grid_of(heads), heads["clip"].nunique()
    uniform = {name: uniform_kl(parse_pattern(name), grid) for name in means["pattern"].unique()}
    layers = means["layer"].max() + 1
    height = 1.9 + 0.3 * max(layers, 2)
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    figure.suptitle(f"How much of each head lies outside its {pattern} pattern, mean over {_counted(clips, 'clip')}")
    panels = (
        ("kl_mean", "KL (nats)", "KL in nats; 0 = all attention inside the pattern", uniform[pattern], max(uniform.values())),
        ("kl_rel", "kl_rel = KL / KL of a uniform head", "kl_rel, no unit; 0 = all attention inside the pattern", 1.0, 1.0),
    )
    for axes, (column, title, label, mark, least) in zip(figure.subplots(1, 2), panels, strict=True):
        top = float(np.fmax(least, means[column].max()))
        top = top if top > 1e-6 else 1.0  # one frame, or one window: every KL is 0
        cells = means[means["pattern"] == pattern].pivot(index="layer", columns="head", values=column).to_numpy()
        _heat(axes, cells, Normalize(0.0, top))
        axes.set(title=title, xlabel="head", ylabel="layer")
        bar = figure.colorbar(axes.images[0], ax=axes, orientation="horizontal", fraction=0.4 / height, aspect=40, pad=0.02)
        bar.set_label(label)
        bar.ax.axvline(mark, color="tab:red", linewidth=2)
        side = "left" if mark < 0.3 * top else "right" if mark > 0.7 * top else "center"
        where: Any = ("data", "axes fraction")
        text = f"uniform head {mark:.2f}"
        bar.ax.annotate(text, (mark, 1.0), (0, 2), where, "offset points", ha=side, va="bottom", color="tab:red", fontsize=8)
    return figure


@matplotlib.rc_context(STYLE)
def routing_map(table: RoutingTable, flops_ratio: float) -> Figure:
    """Return the pattern chosen per head as a layer x head map of letters; `flops_ratio` is routed over dense."""
    letters = list(table.patterns)
    colors = sns.color_palette("colorblind", max(len(letters), 3))[: len(letters)]
    cells = np.array([[letters.index(letter) for letter in row] for row in table.layers])
    figure = Figure(figsize=(WIDTH, 1.2 + 0.3 * max(len(cells), 3)), layout="constrained")
    axes = figure.subplots()
    axes.imshow(cells, cmap=ListedColormap(colors), vmin=-0.5, vmax=len(letters) - 0.5, aspect="auto")
    _ticks(axes, *cells.shape)
    for (layer, head), index in np.ndenumerate(cells):
        axes.text(head, layer, letters[index], ha="center", va="center", color=_ink(colors[index]), weight="bold")
    axes.set(title=f"Pattern chosen per head: attention FLOPs {flops_ratio:.2f}x of dense", xlabel="head", ylabel="layer")
    counts = table.counts()
    names = [f"{letter}  {table.patterns[letter].name}: {_share(counts[letter], cells.size)}" for letter in letters]
    patches = [Patch(color=color, label=name) for color, name in zip(colors, names, strict=True)]
    figure.legend(handles=patches, loc="outside right upper", frameon=False)
    return figure


@matplotlib.rc_context(STYLE)
def kl_scatter(heads: pd.DataFrame) -> Figure:
    """Return KL against entropy and against the distance along the pattern's axis: a row per pattern, a point per head.

    `heads` has the rows of heads.csv; points are means over clips, coloured by layer.
    """
    means = head_means(heads)
    grid, clips = grid_of(heads), heads["clip"].nunique()
    patterns = list(means["pattern"].unique())
    layers = means["layer"].max() + 1
    figure = Figure(figsize=(WIDTH, 3.1 * len(patterns) + 0.4), layout="constrained")
    figure.suptitle(f"KL against entropy and distance: one point per head, mean over {_counted(clips, 'clip')}")
    colors = matplotlib.colormaps["viridis"]
    norm = BoundaryNorm(np.arange(layers + 1) - 0.5, colors.N)
    rows = figure.subplots(len(patterns), 2, squeeze=False, sharey="row")
    full = float(np.log(grid.tokens))
    for (left, right), pattern in zip(rows, patterns, strict=True):
        points = means[means["pattern"] == pattern]
        uniform = uniform_kl(parse_pattern(pattern), grid)
        top = max(points["kl_mean"].max(), uniform, 0.1)
        distance, label = _DISTANCE[parse_pattern(pattern).kind]
        for axes, column in ((left, "entropy_mean"), (right, distance)):
            style: dict[str, Any] = {"palette": colors, "hue_norm": norm, "legend": False, "s": 36, "edgecolor": "0.3"}
            sns.scatterplot(points, x=column, y="kl_mean", hue="layer", ax=axes, **style)
            axes.axhline(uniform, color="tab:red", linestyle="--", linewidth=1)
            axes.set(xlabel=label, ylabel="", title=f"{pattern}: KL against {'distance' if column == distance else 'entropy'}")
            axes.set_ylim(-0.05 * top, 1.07 * top)
        left.axvline(full, color="0.5", linestyle=":", linewidth=1)
        left.set(xlabel="entropy of attention (nats)", ylabel=f"KL to {pattern} (nats)")
    lines = [
        Line2D([], [], color="tab:red", linestyle="--", linewidth=1, label="KL of a uniform head"),
        Line2D([], [], color="0.5", linestyle=":", linewidth=1, label=f"entropy of a uniform head ({full:.2f})"),
    ]
    figure.legend(handles=lines, loc="outside lower left", ncols=2, frameon=False)
    step = -(-layers // 12)
    figure.colorbar(ScalarMappable(norm, colors), ax=rows, ticks=range(0, layers, step), label="layer", aspect=40, pad=0.02)
    return figure


@matplotlib.rc_context(STYLE)
def offset_profile(profiles: pd.DataFrame, chosen: Mapping[str, tuple[int, int]]) -> Figure:
    """Return the attention mass by frame offset of the `chosen` (layer, head) and of all heads, with a uniform head's.

    `profiles` has the rows of profiles.csv; lines are means over clips.
    """
    mass = profiles.groupby(["layer", "head", "dt"])["mass"].mean()
    lines = {f"{label}: layer {layer}, head {head}": mass.loc[layer, head] for label, (layer, head) in chosen.items()}
    lines["mean over all heads"] = mass.groupby("dt").mean()
    frames = profiles["dt"].max() + 1
    lines["uniform head"] = pd.Series(1 / frames, index=range(1 - frames, frames))
    figure = Figure(figsize=(WIDTH, 3.6), layout="constrained")
    axes = figure.subplots()
    colors = [*sns.color_palette("colorblind", len(chosen)), "0.2", "tab:red"]
    dashes = ["-"] * len(chosen) + ["-.", "--"]
    markers = [*"osD^vP"[: len(chosen)], ".", "_"]
    for (label, line), color, dash, marker in zip(lines.items(), colors, dashes, markers, strict=True):
        axes.plot(line.index, line.to_numpy(), color=color, linestyle=dash, marker=marker, label=label, markersize=5)
    axes.set(xlabel="frame offset dt = frame of key - frame of query (latent frames)", ylabel="mean attention mass")
    axes.set_title(f"Attention mass by frame offset, mean over {_counted(profiles['clip'].nunique(), 'clip')}")
    axes.set(xlim=(0.5 - frames, frames - 0.5), ylim=(0, None))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    figure.legend(loc="outside right upper", frameon=False)
    sns.despine(fig=figure)
    return figure


@matplotlib.rc_context(STYLE)
def text_mass(text: pd.DataFrame, uniform: float) -> Figure:
    """Return the attention mass that goes to text by layer: a point per head, their mean, and a uniform head's.

    `text` has the rows of text.csv; points are means over clips.
    """
    heads = text.groupby(["layer", "head"], as_index=False)["text_mass"].mean()
    means = text_means(text)
    figure = Figure(figsize=(WIDTH, 2.8), layout="constrained")
    axes = figure.subplots()
    axes.plot(heads["layer"], heads["text_mass"], "o", color="0.6", markersize=4, label="a head")
    axes.plot(means["layer"], means["mean"], "-D", color="tab:blue", markersize=5, label="mean over heads")
    axes.axhline(uniform, color="tab:red", linestyle="--", linewidth=1, label=f"uniform head ({uniform:.3f})")
    axes.set(xlabel="layer", ylabel="mean attention mass on text", ylim=(0, None))
    axes.set_title(f"Attention mass on text, mean over {_counted(text['clip'].nunique(), 'clip')}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    figure.legend(loc="outside right upper", frameon=False)
    sns.despine(fig=figure)
    return figure


def _heat(axes: Axes, cells: NDArray[Any], norm: Normalize) -> None:
    colors = matplotlib.colormaps["viridis"].with_extremes(bad="0.85")
    axes.imshow(cells, cmap=colors, norm=norm, aspect="auto")
    _ticks(axes, *cells.shape)
    if cells.shape[1] <= ANNOTATED_HEADS:
        for (layer, head), value in np.ndenumerate(cells):
            known = bool(np.isfinite(value))
            ink = _ink(colors(norm(value))) if known else "black"
            axes.text(head, layer, f"{value:.2f}" if known else "n/a", ha="center", va="center", color=ink, fontsize=7)


def _ticks(axes: Axes, layers: int, heads: int) -> None:
    axes.set_xticks(range(0, heads, -(-heads // 24)))
    axes.set_yticks(range(0, layers, -(-layers // 40)))
    axes.tick_params(length=0)


def _ink(color: Any) -> str:
    red, green, blue = color[:3]
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"


def _share(count: int, total: int) -> str:
    return f"{_counted(count, 'head')} ({count / total:.0%})"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")
