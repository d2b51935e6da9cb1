"""What heads look at: the attention of one query, drawn over the frames of its clip."""

from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from oasis.report.plots import STYLE, WIDTH
from oasis.report.run import Looks

SHOWN_FRAMES = 7
CLIP_PERCENTILE = 99.0


@matplotlib.rc_context(STYLE)
def look_map(contents: Looks) -> Figure:
    """Return what heads look at from one query: a row per head, a column per latent frame, heat over the frame.

    `contents` has the arrays of looks.npz. Of long clips the frames nearest to the query's are shown.
    """
    frames, attention, query = contents["frames"], contents["attention"], contents["query"]
    shown = shown_frames(contents)
    height, width = frames.shape[1:3]
    rows_high, columns_wide = attention.shape[2:]
    panel = (WIDTH - 1.4) / max(len(shown), 4)
    figure = Figure(figsize=(WIDTH, (len(attention) + 1) * (panel * height / width + 0.2) + 1.15), layout="compressed")
    panels = figure.subplots(len(attention) + 1, len(shown), squeeze=False)
    for axes, frame in zip(panels[0], shown, strict=True):
        axes.imshow(frames[frame])
        axes.set_title(f"frame {frame}, query" if frame == query[0] else f"frame {frame}", fontsize=9)
    left: Any = {"rotation": 0, "ha": "right", "va": "center"}
    panels[0, 0].set_ylabel("clip", **left)
    for row, number in zip(panels[1:], range(len(attention)), strict=True):
        heat = attention[number] / peak(attention[number])
        layer, head = contents["heads"][number]
        row[0].set_ylabel(f"{contents['labels'][number]}\nlayer {layer}, head {head}", **left)
        for axes, frame in zip(row, shown, strict=True):
            grey = frames[frame].mean(axis=2) / 255 * 0.8
            axes.imshow(grey, cmap="gray", vmin=0, vmax=1)
            extent = (-0.5, width - 0.5, height - 0.5, -0.5)
            values = np.clip(heat[frame], 0, 1)
            axes.imshow(values, cmap="inferno", vmin=0, vmax=1, extent=extent, alpha=0.3 + 0.6 * values)
            axes.set_xlabel(f"{attention[number, frame].sum():.0%} of mass", fontsize=8, labelpad=2)
    for axes in panels.flat:
        axes.set(xticks=[], yticks=[])
    cell = np.array((width / columns_wide, height / rows_high))
    corner = cell * (query[2], query[1]) - 0.5
    for axes in panels[:, list(shown).index(query[0])]:
        _mark(axes, corner, cell, max(0.05 * width, *cell))
    colors = ScalarMappable(Normalize(0, 1), "inferno")
    bar = figure.colorbar(colors, ax=panels, orientation="horizontal", fraction=0.04, aspect=60, pad=0.02)
    bar.set_label(f"attention / its {CLIP_PERCENTILE:.0f}th percentile in the row, clipped at 1 (no unit)")
    figure.suptitle(
        f"What a head looks at from the token marked in cyan: row {query[1]}, column {query[2]} of latent frame {query[0]}"
        f" ({len(shown)} of {len(frames)} frames shown)"
    )
    return figure


def shown_frames(contents: Looks) -> range:
    """Return the latent frames that `look_map` shows: all, or the `SHOWN_FRAMES` around the query's."""
    total = len(contents["frames"])
    count = min(total, SHOWN_FRAMES)
    start = min(max(int(contents["query"][0]) - count // 2, 0), total - count)
    return range(start, start + count)


def peak(attention: NDArray[Any]) -> float:
    """Return the value that is drawn as 1: a high percentile, or the largest value where that is 0."""
    return float(np.percentile(attention, CLIP_PERCENTILE)) or float(attention.max()) or 1.0


def _mark(axes: Axes, corner: NDArray[Any], cell: NDArray[Any], radius: float) -> None:
    outline = [withStroke(linewidth=3, foreground="black")]
    middle = corner + cell / 2
    for shape in (Rectangle(tuple(corner), *cell), Circle((middle[0], middle[1]), radius)):
        shape.set(fill=False, edgecolor="cyan", linewidth=1.2, path_effects=outline, clip_on=True)
        axes.add_patch(shape)
