"""The model card: where the model comes from, what it scores, where it fails; every number from the arguments."""

import importlib.resources
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from oasis import files
from oasis.configs import OasisConfig
from oasis.publish.scores import gains
from oasis.routing import RoutingTable


def loss_curve(log: Path) -> Figure:
    """Draw the training log: one panel per stage, what it is judged by and its running median."""
    rows = pd.read_csv(log)
    stages = list(dict.fromkeys(rows["stage"]))
    figure = Figure(figsize=(3.7 * len(stages), 3.2), layout="constrained")
    for axis, stage in zip(figure.subplots(1, len(stages), squeeze=False)[0], stages, strict=True):
        part = rows[rows["stage"] == stage]
        column = next(name for name in ("explained", "pixel", "loss") if part[name].notna().any())
        mark = "o" if len(part) == 1 else None  # of a line through one point nothing would be seen
        axis.plot(part["step"], part[column], color="0.75", linewidth=0.8, marker=mark, label="each tenth step")
        axis.plot(part["step"], part[column].rolling(21, min_periods=1).median(), color="C0", label="running median")
        axis.set(title=f"{stage}: {_CURVES[column]}", xlabel="step")
        axis.title.set_fontsize(9)
    axis.legend(fontsize=8)
    return figure


_TRAINED_ROUTED = 'which these weights were trained on ("dense" are the same weights with global heads alone)'
_PRETRAINED = {"backbone": "transformer", "vae": "decoder"}
_CURVES = {"explained": "share of the linear skip's error explained", "pixel": "pixel loss", "loss": "weighted sum of losses"}


def write_loss_curve(log: Path, path: Path) -> None:
    """Write `loss_curve` as a PNG."""
    with files.replacing(path) as temporary:
        loss_curve(log).savefig(temporary, dpi=120, metadata={"Software": None})


def hours(log: Path) -> dict[str, float]:
    """Return the hours of every stage of a training log."""
    return {str(stage): seconds / 3600 for stage, seconds in pd.read_csv(log).groupby("stage")["seconds"].max().items()}


def text(
    *,
    scores: pd.DataFrame,
    share: float,
    table: RoutingTable,
    hours: Mapping[str, float],
    clips: Sequence[str],
    config: OasisConfig,
    settings: Mapping[str, Any],
    trained_routed: bool,
    notes: str = "",
) -> str:
    """Return the card as Markdown, from the template beside this file and a run's settings; `notes` says what they do not."""
    counts = ", ".join(f"{count} {table.patterns[letter].name}" for letter, count in table.counts().items())
    steps = "".join(_stage_row(stage, hours[stage["name"]]) for stage in settings["stages"])
    template = (importlib.resources.files("oasis.publish") / "card.md").read_text(encoding="utf-8")
    return template.format(
        name=config.name,
        scale=config.scale,
        layers=config.dit.layers,
        heads=config.dit.heads,
        start=_start(settings, config),
        gains="".join(row for method in ("dense", "routed") for row in _gain_rows(gains(scores, method), method)),
        limit="".join(_gain_rows(gains(scores, "in-band"), "in-band")),
        cost="".join(_gain_rows(gains(scores, "routed", baseline="dense"), "routed", baseline="dense")),
        share=f"{100 * share:.0f}",
        counts=counts,
        ratio=f"{table.rule['attention_flops_ratio']:.2f}",
        steps=steps,
        schedule=settings["schedule"]["name"],
        family=settings["crops"]["family"],
        how=_TRAINED_ROUTED if trained_routed else "without further training",
        total=f"{sum(hours.values()):.1f}",
        clips="\n".join(f"- {name}" for name in clips),
        sha256=table.weights_sha256,
        videos=", ".join(_videos(scores)) or "videos (none were given)",
        notes=f" {notes}" if notes else "",
    )


def _start(settings: Mapping[str, Any], config: OasisConfig) -> str:
    """Say where a run started, from what its record names."""
    if settings["start"] is not None:
        return f"It went on from the weights `{settings['start']}`."
    if config.vae.kind == "small":
        return "The VAE's basis, the linear skip and the input whitening are closed forms; it holds no other network's weights."
    files = [f"its {part} from the file `{settings[name]}`" for name, part in _PRETRAINED.items() if settings[name]]
    return "It started from " + (" and ".join(files) if files else "no weights of another network") + "."


def _stage_row(stage: Mapping[str, Any], hours: float) -> str:
    losses = ", ".join(f"{name} {weight:g}" for name, weight in stage["losses"].items())
    return f"| {stage['name']} | {stage['trains']} | {losses} | {stage['steps']} | {stage['learning_rate']} | {hours:.2f} |\n"


def _videos(scores: pd.DataFrame) -> list[str]:
    """Return the names of the real videos, which their segments carry with the number of their first frame."""
    return sorted({str(name).rpartition("-")[0] for name in scores.loc[scores["group"] == "real", "clip"]})


def _gain_rows(rows: pd.DataFrame, method: str, baseline: str = "bicubic") -> Iterator[str]:
    for row in rows.to_dict("records"):
        yield (
            f"| {method} against {baseline} | {row['group']} | {row['measure']} | {row[baseline]:.4f} | {row[method]:.4f} "
            f"| {row['gain']:+.4f} | {row['low']:+.4f} .. {row['high']:+.4f} | {row['won']} of {row['clips']} |\n"
        )
