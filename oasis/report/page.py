"""The page of a profiled run: every figure, the tables, and an index.html that opens from disk without a network."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure

from oasis import files
from oasis.cost import routing_ratio, uniform_kl
from oasis.report import looks, plots
from oasis.report.run import Run, grid_of, head_means, read_run, text_means
from oasis.routing import parse_pattern

UNTRAINED_WEIGHTS = "UNTRAINED WEIGHTS: these numbers say nothing about a trained model"
SPECIAL = 0.7  # a head with kl_rel below this for some pattern counts as specialised


class Picture(NamedTuple):
    """A figure of the page, the stem of its files, and what the page says about it."""

    name: str
    figure: Figure
    alt: str
    caption: str


def write_page(folder: Path) -> list[Path]:
    """Draw the figures of the run in `folder` and write them with index.html into it; return the paths written.

    Reads heads.csv, routing.json, profiles.csv, looks.npz and run.json; equal files give equal bytes. ValueError names
    a file that is missing or does not fit, and then nothing is written.
    """
    folder = Path(folder)
    run = read_run(folder)
    pictures = list(draw(run))
    contents = {f"{p.name}.{kind}": plots.render(p.figure, kind) for p in pictures for kind in ("png", "svg")}
    contents["index.html"] = _html(folder, run, pictures).encode("utf-8")
    for name, content in contents.items():
        with files.replacing(folder / name) as temporary:
            temporary.write_bytes(content)
    return [folder / name for name in contents]


def draw(run: Run) -> Iterator[Picture]:
    """Yield the figures of a run, in the order of the page."""
    ratio = routing_ratio(run.table, grid_of(run.heads))
    counts = ", ".join(f"{count} {run.table.patterns[letter].name}" for letter, count in run.table.counts().items())
    yield Picture(
        "routing",
        plots.routing_map(run.table, ratio),
        f"Map of layers by heads with the letter of the pattern chosen for each head: {counts}.",
        "The pattern of every head in routing.json. The FLOPs ratio counts the score and value products of"
        " self-attention, for the token grid of the profiled clips; projections and the rest of the network are left out.",
    )
    for pattern in run.heads["pattern"].unique():
        means = head_means(run.heads).query("pattern == @pattern")
        low, high = means["kl_mean"].min(), means["kl_mean"].max()
        uniform = uniform_kl(parse_pattern(pattern), grid_of(run.heads))
        yield Picture(
            f"kl-{pattern}",
            plots.kl_map(run.heads, pattern),
            f"Two maps of layers by heads for {pattern}: KL from {low:.2f} to {high:.2f} nats, and the same as kl_rel.",
            f"KL of every head to its {pattern} pattern. Dark: the head looks (almost) only inside the pattern."
            f" The red line on each bar is a head that looks at all tokens alike ({uniform:.2f} nats)."
            " The colour scales are the same for every pattern.",
        )
    yield Picture(
        "kl-scatter",
        plots.kl_scatter(run.heads),
        "Scatter plots, a point per head: KL to each pattern against entropy, and against the distance along its axis.",
        "Is low KL more than low entropy? Heads of equal entropy can lie inside a pattern or outside it. A head that looks at"
        " all tokens alike would lie where the dashed and the dotted line cross (left).",
    )
    if run.text is not None:
        means = text_means(run.text)
        low, high = means["mean"].min(), means["mean"].max()
        tokens = run.table.text
        yield Picture(
            "text-mass",
            plots.text_mass(run.text, tokens / (tokens + grid_of(run.heads).tokens)),
            f"Points and a line of attention mass on text by layer: layer means from {low:.3f} to {high:.3f}.",
            f"How much of a video query's attention goes to the {tokens} text tokens, which every pattern keeps. The red line"
            " is a head that looks at all tokens alike.",
        )
    chosen = _typical(run)
    listed = "; ".join(f"{label}: layer {layer}, head {head}" for label, (layer, head) in chosen.items())
    yield Picture(
        "offset-profile",
        plots.offset_profile(run.profiles, chosen),
        f"Lines of attention mass against frame offset for typical heads ({listed}), all heads, and a uniform head.",
        "How much attention goes to frames before (dt < 0), at (dt = 0) and after (dt > 0) the query's. Every offset is a mean"
        " over the query frames that have a frame there, so a line need not sum to 1.",
    )
    yield Picture(
        "looks",
        looks.look_map(run.looks),
        f"Frames of a clip under heat maps of attention, one row per head ({listed}), the query token marked in cyan.",
        f"Clip {run.looks['clip'].item()}. The cyan square is the query token (ringed to find it). Heat is the attention of"
        f" each key token on a linear scale, normalised per row: 1 is the {looks.CLIP_PERCENTILE:.0f}th percentile over all"
        " frames of the row, larger values are clipped. Rows cannot be compared by brightness; the mass under each frame can.",
    )


def _typical(run: Run) -> dict[str, tuple[int, int]]:
    heads = run.looks["heads"].tolist()
    return {str(label): (layer, head) for label, (layer, head) in zip(run.looks["labels"], heads, strict=True)}


def _html(folder: Path, run: Run, pictures: list[Picture]) -> str:
    grid = grid_of(run.heads)
    means = head_means(run.heads)
    patterns = list(run.heads["pattern"].unique())
    special = means[means["kl_rel"] < SPECIAL].groupby(["layer", "head"]).ngroups
    template = _environment().get_template("page.html.j2")
    return template.render(
        banner=None if run.record["trained"] else UNTRAINED_WEIGHTS,
        table=run.table,
        counts=run.table.counts(),
        total=len(run.table.layers) * run.table.heads,
        ratio=routing_ratio(run.table, grid),
        special=special,
        threshold=SPECIAL,
        clips=run.heads["clip"].nunique(),
        grid=grid,
        patterns=patterns,
        uniform={pattern: uniform_kl(parse_pattern(pattern), grid) for pattern in patterns},
        pictures=pictures,
        heads=_head_rows(run, means),
        spread=_clip_rows(run.heads),
        deviations=_deviations(run.heads).groupby("pattern").median().to_dict(),
        provenance=[*_flat(run.record), *_flat({"routing rule": run.table.rule, "routing made with": run.table.made_with})],
        hashes=[(name, files.sha256(folder / name)) for name in run.files],
        text=None if run.text is None else text_means(run.text).to_dict("records"),
    )


def _environment() -> Environment:
    folder = Path(__file__).parent / "templates"
    return Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,  # clip names and the record come from files: escape, whatever the template's suffix
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _head_rows(run: Run, means: pd.DataFrame) -> list[dict[str, Any]]:
    """One entry per head: its place, its letter, the statistics of each pattern, and those that need no pattern."""
    deviations = _deviations(run.heads)
    found = []
    for (layer, head), rows in means.groupby(["layer", "head"]):
        by_pattern = {
            row["pattern"]: {**row, "kl_std": deviations[layer, head, row["pattern"]]} for row in rows.to_dict("records")
        }
        letter = run.table.layers[layer][head]
        common = rows.iloc[0].to_dict()
        found.append({**common, "letter": letter, "chosen": run.table.patterns[letter].name, "by_pattern": by_pattern})
    return found


def _deviations(heads: pd.DataFrame) -> "pd.Series[float]":
    """Return the standard deviation of KL over clips by (layer, head, pattern), in nats; not a number for one clip."""
    return heads.groupby(["layer", "head", "pattern"])["kl_mean"].std()


def _clip_rows(heads: pd.DataFrame) -> list[dict[str, Any]]:
    """One entry per clip: and the mean over heads of each pattern's statistics."""
    found = []
    for clip, rows in heads.groupby("clip", sort=False):
        by_pattern = rows.groupby("pattern")[["kl_mean", "kl_rel", "mass_mean"]].mean().to_dict("index")
        found.append({"clip": clip, "by_pattern": by_pattern})
    return found


def _flat(record: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the leaves of a record as lines of text, nested names joined by spaces."""
    for name, value in record.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name} ")
        elif isinstance(value, list):
            yield f"{prefix}{name}", ", ".join(str(item) for item in value)
        else:
            yield f"{prefix}{name}", str(value)
