"""Every figure of the page: what it shows in words, the data behind it, and what is left out and why."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from oasis.report.board.rows import Rows
from oasis.report.site import clipplots, frontplots, speedplots
from oasis.report.site.names import slugs

MOST_CLIP_PLOTS = 12


class Picture(NamedTuple):
    """A figure that is yet to be drawn: the stem of its files, its data, its words, and the data set it belongs to or ""."""

    name: str
    data: pd.DataFrame
    draw: Callable[[], Figure]
    alt: str
    caption: str
    dataset: str


def pictures(rows: Rows, summary: pd.DataFrame) -> Iterator[Picture]:
    """Yield every figure that the rows have data for."""
    titles = {str(name): rows.cards[name].title if name in rows.cards else str(name) for name in summary["method"].unique()}
    yield from _speeds(rows, summary, titles)
    yield from _fronts(rows)
    yield from _clips(rows, summary, titles)


def left_out(rows: Rows, summary: pd.DataFrame, drawn: list[str]) -> list[str]:
    """Return a sentence for every figure that is not among the names in `drawn`, with the reason."""
    names = {name.split("-")[0] for name in drawn}
    found = []
    if "speed" not in names:
        reason = "no timings of whole runs" if rows.timings.empty else "no two methods have both complete scores and timings"
        found.append(f"Quality against time, measured here: {reason}.")
    if "reported" not in names:
        found.append("Quality against time, reported: no two methods have printed times and printed scores in one table.")
    if "routings" not in names:
        found.append("Front of routings: there are no rows of routings.")
    wanted = summary.groupby(["dataset", "measure"], observed=True).ngroups
    shown = sum(name.startswith("clips-") for name in drawn)
    if shown < wanted:
        found.append(
            f"Values clip by clip: {shown} of {wanted} pairs of data set and measure are drawn (at most {MOST_CLIP_PLOTS},"
            " spread over the data sets); the tables and their rows have all of them."
        )
    if shown and summary.groupby(["dataset", "measure"], observed=True).size().max() > clipplots.MOST_METHODS:
        found.append(f"Values clip by clip: only the {clipplots.MOST_METHODS} best-ranked methods of a measure are drawn.")
    return found


def _clips(rows: Rows, summary: pd.DataFrame, titles: dict[str, str]) -> Iterator[Picture]:
    datasets = [str(name) for name in summary["dataset"].unique()]
    keys, each = slugs(datasets), max(1, MOST_CLIP_PLOTS // max(len(datasets), 1))
    for dataset in datasets[:MOST_CLIP_PLOTS]:
        part = summary[summary["dataset"] == dataset]
        for measure, means in islice(part.groupby("measure", observed=True, sort=False), each):
            scores = rows.scores[(rows.scores["dataset"] == dataset) & (rows.scores["measure"] == measure)]
            data = clipplots.per_clip(scores, means, titles)
            unit, better = str(means["unit"].iloc[0]), str(means["better"].iloc[0])
            best = data.dropna(subset="mean")["title"].head(1).tolist()
            lines = ", grey lines join the same clip" if data["clip"].nunique() <= clipplots.LINKED_CLIPS else ""
            count = data[["method", "kind"]].drop_duplicates().shape[0]
            yield Picture(
                f"clips-{keys[dataset]}-{slugs([str(measure)])[str(measure)]}",
                data,
                partial(clipplots.clip_plot, data, f"{measure} on {dataset}, clip by clip", unit, better),
                f"{measure} of {data['clip'].nunique()} clips for {count} methods of {dataset},"
                f" {f'best mean: {best[0]}' if best else 'no method has a value of every clip'}.",
                f"Each point is a clip{lines}; the large mark is the mean, in brackets how many clips have"
                " a value. Where ranges of rank overlap, another choice of clips could turn the order.",
                dataset,
            )


def _speeds(rows: Rows, summary: pd.DataFrame, titles: dict[str, str]) -> Iterator[Picture]:
    parameters = {name: card.parameters for name, card in rows.cards.items()}
    for number, data in enumerate(speedplots.measured_speeds(rows.timings, summary, parameters), start=1):
        first = data.iloc[0]
        yield Picture(
            f"speed-{number}-{slugs([first['dataset']])[first['dataset']]}",
            data,
            partial(speedplots.measured_speed_plot, data, titles),
            f"Bubbles, one per method: quality on {first['dataset']} against seconds per output frame,"
            f" {data['method'].nunique()} methods timed in one run.",
            f"Measured here: {first['what']} on {first['device']} ({first['dtype']}), LQ clip {first['case']}, {first['cache']}"
            f" cache, {first['rounds']} rounds; times from {first['file']}, the same machine for all. Quality is the mean over"
            f" the clips of {first['dataset']}, whose size may differ from the timed case. Bubble area grows with the square"
            " root of the number of parameters; horizontal bars reach from p20 to p80. The means' intervals are in the tables.",
            str(first["dataset"]),
        )
    for number, data in enumerate(speedplots.reported_speeds(rows.efficiency, rows.reported), start=1):
        first = data.iloc[0]
        times = "; ".join(dict.fromkeys(data["source_of_time"].str.partition(";")[0]))
        yield Picture(
            f"reported-{number}",
            data,
            partial(speedplots.reported_speed_plot, data),
            f"Squares, one per method: printed quality on {first['dataset']} against printed run time,"
            f" {data['method'].nunique()} methods. Nothing here was measured by this project.",
            f"Reported: times for {first['frames'] or 'an unstated number of'} frames,"
            f" {first['resolution'] or 'size not stated'}, {first['hardware']} ({times}); quality from"
            f" {'; '.join(dict.fromkeys(data['source']))}. Other figures are of other machines and clips: do not compare.",
            "",
        )


def _fronts(rows: Rows) -> Iterator[Picture]:
    for number, data in enumerate(frontplots.fronts(rows.routings), start=1):
        first = data.iloc[0]
        yield Picture(
            f"routings-{number}",
            data,
            partial(frontplots.front_plot, data),
            f"Four scatter plots of {len(data)} routings of {first['model']}: KL, FLOPs, time and {first['measure']} against"
            f" each other; {int(data['front'].sum())} are beaten by none.",
            f"Measured here on {first['clips']} clips ({first['file']}). KL says what the heads lose, quality what the picture"
            " loses; controls (random and uniform routings) show what a rule must beat. Times are ratios to dense in"
            " the same rounds.",
            "",
        )
