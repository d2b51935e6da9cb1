"""Quality against run time, a bubble per method: what was measured here, and, in figures of their own, what was reported."""

from collections.abc import Iterator, Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from oasis.report.plots import STYLE, WIDTH, settle, shortened
from oasis.report.site.clipplots import WHERE
from oasis.report.site.kinds import MEASURED, REPORTED

PANELS = 3  # measures of one figure
SMALLEST, LARGEST = 14.0, 300.0  # areas of bubbles in square points: of no parameters, and what the most add
APART = 10.0  # points between the middles of two numbers, along at least one side
_MOVES = [
    radius * np.array([np.cos(angle), np.sin(angle)])
    for radius in range(14, 80, 11)
    for angle in np.linspace(np.pi / 2, 5 * np.pi / 2, 12, endpoint=False)
]
"""Where a number may stand, from its point, in points: above, then around, then farther away."""
SAME_RUN = ["file", "what", "case", "device", "cache"]  # times share an axis only where all of these are equal
SAME_CLAIM = ["hardware", "frames", "resolution"]


def measured_speeds(timings: pd.DataFrame, summary: pd.DataFrame, parameters: dict[str, int | None]) -> Iterator[pd.DataFrame]:
    """Yield the data of a figure per data set and set-up of timing: complete means measured here joined with whole runs."""
    if timings.empty:
        return
    runs = timings[(timings["phase"] == "total") & (timings["frames"] > 0) & (timings["what"] != "attention")]
    means = summary[summary["complete"] & (summary["kind"] == MEASURED.name)]
    columns = ["dataset", "measure", "method", "mean", "low", "high", "unit", "better"]
    texts = dict.fromkeys(["dataset", "measure", "method"], str)
    joined = means[columns].astype(texts).merge(runs, left_on="method", right_on="subject")
    joined = joined[np.isfinite(joined["mean"])]
    seconds = {name: joined[name] / joined["frames"] for name in ("p20", "p50", "p80")}
    joined = joined.assign(parameters=joined["method"].map(parameters).astype("Float64"), **seconds)
    for _, data in joined.groupby(["dataset", *SAME_RUN], sort=True):
        if data["method"].nunique() > 1:
            yield _with_areas(_widest(data, "measure")).reset_index(drop=True)


def reported_speeds(efficiency: pd.DataFrame, reported: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Yield the data of a figure per hardware and clip size: printed times joined with the printed table that fits best."""
    if efficiency.empty or reported.empty:
        return
    for _, group in efficiency[efficiency["runtime_s"].notna()].groupby(SAME_CLAIM, sort=True):
        joined = group.merge(reported, on="method", suffixes=("_of_time", ""))
        tables = [part for _, part in joined.groupby(["dataset", "protocol"], sort=True) if part["method"].nunique() > 1]
        if tables:
            data = max(tables, key=_fit)  # the first of equals
            better = data["higher_is_better"].map({True: "higher", False: "lower"})
            data = _widest(data.assign(better=better, parameters=1e9 * data["params_b"]), "metric")
            yield _with_areas(data).reset_index(drop=True)


def _fit(table: pd.DataFrame) -> tuple[bool, int, bool]:
    """Rank printed tables of quality for one of time: that of the same paper, then of most methods, then of a set we know."""
    first = table.iloc[0]
    same_paper = first["protocol"].lower() in first["source_of_time"].lower()
    return same_paper, int(table["method"].nunique()), isinstance(first["card"], str)


@matplotlib.rc_context(STYLE)
def measured_speed_plot(data: pd.DataFrame, titles: dict[str, str]) -> Figure:
    """Return a panel per measure: mean against seconds per output frame with their spread; numbers stand for methods."""
    figure, panels = _panels(data, "measure")
    first = data.iloc[0]
    figure.suptitle(f"Measured here on {first['dataset']}: quality against time, {first['what']} on {first['device']}")
    color = sns.color_palette("colorblind")[0]
    numbers = _numbers(figure, data)
    for axes, (measure, part) in panels:
        axes.hlines(part["mean"], part["p20"], part["p80"], color="0.35", linewidth=1)
        _bubbles(axes, part, part["p50"], part["mean"], color, "o")
        axes.set(title=measure, ylabel=f"{part['unit'].iloc[0] or 'mean'} ({WHERE[part['better'].iloc[0]]})")
        axes.set_xlabel("seconds per output frame")
    _legend(figure, data["parameters"], color, "o", [f"{number}  {titles[method]}" for method, number in numbers.items()])
    for axes, (_, part) in panels:
        _number(axes, part["p50"], part["mean"], [str(numbers[method]) for method in part["method"]])
    return figure


@matplotlib.rc_context(STYLE)
def reported_speed_plot(data: pd.DataFrame) -> Figure:
    """Return a panel per metric: printed value against printed time; squares on a tint, numbers stand for methods."""
    figure, panels = _panels(data, "metric")
    first = data.iloc[0]
    figure.suptitle(f"REPORTED, not measured here: {first['dataset']}, {first['protocol']}'s protocol, on {first['hardware']}")
    color = sns.color_palette("colorblind")[4]
    numbers = _numbers(figure, data)
    for axes, (metric, part) in panels:
        axes.set_facecolor("#fbf4e6")
        _bubbles(axes, part, part["runtime_s"], part["value"], color, REPORTED.marker)
        known = part["status"].iloc[0] != "irreproducible"
        axes.set(
            title=metric if known else f"{metric} (cannot be reproduced)", ylabel=f"printed ({WHERE[part['better'].iloc[0]]})"
        )
        axes.set_xlabel(f"printed seconds for {first['frames'] or '?'} frames")
    _legend(figure, data["parameters"], color, REPORTED.marker, [f"{number}  {method}" for method, number in numbers.items()])
    for axes, (_, part) in panels:
        _number(axes, part["runtime_s"], part["value"], [str(numbers[method]) for method in part["method"]])
    return figure


def _widest(data: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return the rows of the few measures that most methods have, in the order in which they come."""
    counts = data.groupby(column, sort=False)["method"].nunique()
    chosen = counts.sort_values(ascending=False, kind="stable").index[:PANELS]
    return data[data[column].isin(chosen)]


def _panels(data: pd.DataFrame, column: str) -> tuple[Figure, list[tuple[Axes, tuple[str, pd.DataFrame]]]]:
    groups = [(str(name), part) for name, part in data.groupby(column, sort=False)]
    figure = Figure(figsize=(WIDTH, 4.4), layout="constrained")
    return figure, list(zip(figure.subplots(1, len(groups), squeeze=False)[0], groups, strict=True))


def _bubbles(
    axes: Axes,
    part: pd.DataFrame,
    x: "pd.Series[float]",
    y: "pd.Series[float]",
    color: Any,
    marker: str,
) -> None:
    sized = part["area"].notna()
    style: dict[str, Any] = {"marker": marker, "color": color, "edgecolors": "black", "linewidths": 0.8, "zorder": 3}
    axes.scatter(x[sized], y[sized], s=part["area"][sized], alpha=0.55, **style)
    axes.scatter(x[~sized], y[~sized], s=40, marker="x", color="black", zorder=3)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if x.max() < 50 * x.min() else (1.0,), numticks=9))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.tick_params(axis="x", rotation=45)
    axes.margins(0.22, 0.16)
    axes.grid(color="0.9")
    axes.set_axisbelow(True)


def _numbers(figure: Figure, data: pd.DataFrame) -> dict[str, int]:
    """Return a number for every method, and make room for a key to them."""
    numbers = {method: number for number, method in enumerate(data["method"].unique(), start=1)}
    figure.set_figheight(figure.get_figheight() + 0.07 * len(numbers))
    return numbers


def _number(axes: Axes, x: "pd.Series[float]", y: "pd.Series[float]", numbers: list[str]) -> None:
    """Write numbers near their points where no other number stands, with a line to the point."""
    to_points = 72 / axes.figure.dpi
    places = axes.transData.transform(np.column_stack([x, y])) * to_points
    taken: list[Any] = list(places)
    for (at_x, at_y), place, number in zip(zip(x, y, strict=True), places, numbers, strict=True):
        free = (move for move in _MOVES if all(np.abs(place + move - other).max() >= APART for other in taken))
        move = next(free, _MOVES[-1])
        taken.append(place + move)
        style: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "va": "center", "zorder": 4, "fontsize": 7}
        axes.annotate(number, (at_x, at_y), tuple(move), arrowprops={"arrowstyle": "-", "color": "0.3", "lw": 0.5}, **style)


def _with_areas(data: pd.DataFrame) -> pd.DataFrame:
    """Add the areas of bubbles, which grow with the square root of the number of parameters; NaN where it is unknown."""
    return data.assign(area=_areas(data["parameters"].astype(float), data["parameters"].max()))


def _areas(parameters: Any, most: Any) -> Any:
    return SMALLEST + LARGEST * np.sqrt(parameters / most if pd.notna(most) and most > 0 else 0.0 * parameters)


def _legend(figure: Figure, parameters: "pd.Series[float]", color: Any, marker: str, key: Sequence[str]) -> None:
    most = parameters.max()
    style: dict[str, Any] = {"linestyle": "", "markerfacecolor": color, "markeredgecolor": "black", "alpha": 0.55}
    sizes = [most, most / 10, most / 100] if pd.notna(most) and most > 0 else []
    handles = [
        Line2D([], [], marker=marker, markersize=float(np.sqrt(_areas(size, most))), label=_counted(size), **style)
        for size in sizes
    ]
    if parameters.isna().any():
        handles.append(Line2D([], [], linestyle="", marker="x", color="black", label="number of parameters not stated"))
    lines = [Line2D([], [], linestyle="", label=shortened(text, 34)) for text in key]
    rows = max(len(handles), -(-len(lines) // 3))
    # A legend is filled column by column: names, at most three columns of them, then the sizes.
    lines, handles = ([*part, *[Line2D([], [], linestyle="", label="")] * (-len(part) % rows)] for part in (lines, handles))
    style = {"labelspacing": 0.7, "columnspacing": 1, "frameon": False}
    figure.legend(handles=lines + handles, loc="outside lower left", ncols=len(lines + handles) // rows, **style)
    sns.despine(fig=figure)
    settle(figure)


def _counted(parameters: float) -> str:
    scale, unit = next((pair for pair in ((1e9, "B"), (1e6, "M"), (1e3, "k")) if parameters >= pair[0]), (1.0, ""))
    return f"{parameters / scale:.3g}{unit} parameters"
