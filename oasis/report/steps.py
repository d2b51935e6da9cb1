"""A contact sheet of a degradation: what every step does to the middle of the first frame, and one row of pixels over time."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from jaxtyping import UInt8
from matplotlib.figure import Figure
from numpy import ndarray

from oasis.report.plots import STYLE, WIDTH

COLUMNS = 5
SHARE = 0.3  # of the height of a frame that is shown, as a square
_QUIET = ("op", "width", "height", "mode", "parameters", "wrap", "swapped", "domain", "frozen")


@matplotlib.rc_context(STYLE)
def contact_sheet(
    title: str,
    steps: Sequence[tuple[Mapping[str, Any], UInt8[ndarray, "_ _ 3"]]],
    slice_xt: UInt8[ndarray, "t w 3"],
) -> Figure:
    """Draw a panel for every step (`degrading.steps`), labelled with its values of the first frame, above the slice."""
    rows = math.ceil(len(steps) / COLUMNS)
    t, w, _ = slice_xt.shape
    strip = min(3.0, max(0.5, WIDTH * t / w))
    figure = Figure(figsize=(WIDTH, 2.5 * rows + strip + 1.2), layout="constrained")
    figure.suptitle(title)
    grid = figure.add_gridspec(rows + 1, COLUMNS, height_ratios=[2.5] * rows + [strip + 0.5])
    for number, (stage, frame) in enumerate(steps):
        axes = figure.add_subplot(grid[number // COLUMNS, number % COLUMNS])
        axes.imshow(_middle(frame), interpolation="nearest")
        axes.set_title(f"{number}. {label(stage, frame)}", loc="left", fontsize=7.5)
        axes.set_axis_off()
    axes = figure.add_subplot(grid[rows, :])
    axes.imshow(slice_xt, interpolation="nearest", aspect="auto")
    axes.set_title("the middle row of the output in every frame", loc="left")
    axes.set_xlabel("x (pixels)")
    axes.set_ylabel("frame")
    return figure


def label(stage: Mapping[str, Any], frame: UInt8[ndarray, "h w 3"]) -> str:
    """Return a step's name, its values of the first frame, and the size that it gives."""
    shown = {name: value for name, value in stage.items() if name not in _QUIET} | dict(stage.get("parameters", {}))
    shown = {name: value[0] if isinstance(value, list) else value for name, value in shown.items()}
    shown = {name: value for name, value in shown.items() if value is not False}
    words = [name if value is True else f"{_short(name)} {_short(value)}" for name, value in shown.items()]
    lines = [", ".join(words[start : start + 2]) for start in range(0, len(words), 2)]
    return "\n".join([stage["op"].replace("_", " "), *lines, f"{frame.shape[1]}x{frame.shape[0]}"])


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value).replace("_", " ")


def _middle(frame: UInt8[ndarray, "h w 3"]) -> UInt8[ndarray, "_ _ 3"]:
    height, width, _ = frame.shape
    side = max(1, round(SHARE * min(height, width)))
    top, left = (height - side) // 2, (width - side) // 2
    return frame[top : top + side, left : left + side]
