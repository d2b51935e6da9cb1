"""Every head of a model, looking: where one query's attention goes, in its own frame and over the frames of the clip."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import seaborn as sns
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from PIL import Image
from torch import Tensor

from oasis import files, probe
from oasis.report.chapters import Chapter, Finding, Picture, Table, write_chapter
from oasis.report.looks import peak
from oasis.report.plots import STYLE, WIDTH
from oasis.report.run import Run
from oasis.routing import RoutingTable

PANEL = 96
"""Pixels of a panel's picture, at most, in width."""
STRIP, EDGE = 8, 3
"""Rows of pixels of the strip of frames, and of the frame around a panel."""


def write(subject: probe.Subject, run: Run, frames: UInt8[Tensor, "t 3 h w"], folder: Path, record: Mapping[str, Any]) -> Path:
    """Write the chapter into `folder` and return it; `frames` is the clip that the profiled run looked at, cut as there."""
    t, y, x = (int(place) for place in run.looks["query"])
    query = (t, y, x)
    heads = [(layer, head) for layer in range(len(run.table.layers)) for head in range(run.table.heads)]
    attention = probe.attention_rows(subject, frames, heads, query)
    rows = mass(attention, heads, query, run.table)
    folder.mkdir(parents=True, exist_ok=True)
    with files.replacing(folder / "mass.csv") as whole:
        rows.to_csv(whole, index=False, float_format="%.6g", lineterminator="\n")
    own = rows.groupby(["layer", "head"]).first()["own_frame"]
    uniform = 1 / attention.shape[1]
    chapter = Chapter(
        title="Every head, looking",
        question="Where does the attention of one and the same token go, head by head?",
        findings=[
            Finding(
                text=f"From the marked token, {int((own > 2 * uniform).sum())} of {len(own)} heads put more than twice a"
                f" uniform head's mass ({uniform:.0%}) on the token's own frame, {int((own < uniform / 2).sum())} less"
                " than half.",
                verdict="shown",
            ),
            Finding(
                text="One token of one clip is an example, not a statistic; the statistics are over all tokens of all clips.",
                verdict="limit",
            ),
        ],
        pictures=[
            Picture(
                name="gallery",
                alt="A grid of layers by heads; in each panel the query's frame under a heat map, a strip of frames below it,"
                " and an edge in the colour of the head's pattern.",
                caption=f"Clip {run.looks['clip'].item()}, the query token marked in cyan: row {query[1]}, column {query[2]} of"
                f" latent frame {query[0]}. Heat: attention in the query's own frame, each head on a scale of its own. Strip:"
                " attention mass by latent frame, first to last, the brighter the more. Edge: the pattern in the routing"
                " table.",
            )
        ],
        tables=[Table(file="mass.csv", caption="Attention mass of the query by head and frame")],
        links={"../profile/index.html": "statistics of every head"},
        record=record,
        trained=bool(run.record["trained"]),
    )
    write_chapter(folder, chapter, {"gallery": gallery(run.looks["frames"][query[0]], attention, query, run.table)})
    return folder


def mass(
    attention: Float[np.ndarray, "k gt gh gw"], heads: list[tuple[int, int]], query: tuple[int, ...], table: RoutingTable
) -> pd.DataFrame:
    """Return one row per head and latent frame: its mass, and with it that of the query's own frame."""
    by_frame = attention.sum(axis=(2, 3), dtype=np.float64)
    return pd.DataFrame(
        {
            "layer": layer,
            "head": head,
            "pattern": table.layer_patterns(layer)[head].name,
            "frame": frame,
            "mass": value,
            "own_frame": by_frame[number, query[0]],
        }
        for number, (layer, head) in enumerate(heads)
        for frame, value in enumerate(by_frame[number])
    )


@matplotlib.rc_context(STYLE)
def gallery(
    picture: UInt8[np.ndarray, "y x 3"],
    attention: Float[np.ndarray, "k gt gh gw"],
    query: tuple[int, ...],
    table: RoutingTable,
) -> Figure:
    """Return a panel per head, rows of layers and columns of heads."""
    letters = list(table.patterns)
    colors = sns.color_palette("colorblind", max(len(letters), 3))
    width = min(PANEL, picture.shape[1])
    height = round(picture.shape[0] * width / picture.shape[1])
    grey = np.asarray(Image.fromarray(picture).convert("L").resize((width, height), Image.Resampling.LANCZOS)) / 255 * 0.8
    panels = [
        _panel(grey, one, query, np.array(colors[letters.index(table.layers[number // table.heads][number % table.heads])]))
        for number, one in enumerate(attention)
    ]
    layers, heads = len(table.layers), table.heads
    rows = [np.concatenate(panels[layer * heads : (layer + 1) * heads], axis=1) for layer in range(layers)]
    mosaic = np.concatenate(rows)
    high, wide = (side // count for side, count in zip(mosaic.shape[:2], (layers, heads), strict=True))
    figure = Figure(figsize=(WIDTH, 0.9 + (WIDTH - 0.6) * mosaic.shape[0] / mosaic.shape[1]), layout="constrained")
    axes = figure.subplots()
    axes.imshow(mosaic, interpolation="nearest")
    axes.set_xticks([wide * (head + 0.5) for head in range(heads)], [str(head) for head in range(heads)])
    axes.set_yticks([high * (layer + 0.5) for layer in range(layers)], [str(layer) for layer in range(layers)])
    axes.tick_params(length=0)
    axes.set(xlabel="head", ylabel="layer")
    axes.spines[:].set_visible(False)
    patches = [Patch(color=color, label=table.patterns[letter].name) for letter, color in zip(letters, colors, strict=False)]
    figure.legend(handles=patches, loc="outside upper center", ncols=len(patches), frameon=False)
    return figure


def _panel(
    grey: Float[np.ndarray, "y x"], attention: Float[np.ndarray, "gt gh gw"], query: tuple[int, ...], color: np.ndarray
) -> Float[np.ndarray, "yy xx 3"]:
    """Return a frame under heat, above a strip of frames, inside an edge of the pattern's colour."""
    height, width = grey.shape
    heat = attention[query[0]] / peak(attention[query[0]])
    rows = np.arange(height) * heat.shape[0] // height
    columns = np.arange(width) * heat.shape[1] // width
    values = np.clip(heat[rows][:, columns], 0, 1)
    inferno = matplotlib.colormaps["inferno"]
    shown = grey[..., None] * (1 - (0.3 + 0.6 * values))[..., None] + inferno(values)[..., :3] * (0.3 + 0.6 * values)[..., None]
    marked = (rows[:, None] == query[1]) & (columns == query[2])
    shown[marked] = (0, 1, 1)
    by_frame = attention.sum(axis=(1, 2))
    strip = inferno(by_frame / by_frame.max())[np.arange(width) * len(by_frame) // width, :3]
    whole = np.concatenate([shown, np.broadcast_to(strip, (STRIP, width, 3))])
    edged = np.empty((whole.shape[0] + 2 * EDGE, width + 2 * EDGE, 3))
    edged[:] = color
    edged[EDGE:-EDGE, EDGE:-EDGE] = whole
    return np.pad(edged, ((2, 2), (2, 2), (0, 0)), constant_values=1.0)
