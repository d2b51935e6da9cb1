"""A finished training run becomes a model folder: weights, head statistics, routing, scores, card."""

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch

from oasis import files, profiling
from oasis.data import builtin
from oasis.model import load_model
from oasis.model.checkpoint import save
from oasis.model.oasis import Oasis
from oasis.publish import card, scores
from oasis.routing import RoutingTable
from oasis.train import record


def publish(
    model: Oasis, run: Path, check: Path | None, *, rule: str, routing: Path | None = None, device: str = "cpu"
) -> Path:
    """Write RUN/model, ready to load by name of its folder, and return it.

    The weights are stored as float16 and everything else is measured on what is stored. A model that was trained on `routing`
    keeps its patterns; for a dense one `rule` decides them. `check` holds videos that were not trained on. RUN/notes.md, where
    it exists, says what log and schedule do not.
    """
    folder = run / "model"
    weights_sha256 = save(model, folder, trained=True, dtype=torch.float16)
    with tempfile.TemporaryDirectory() as temporary:
        profiled = Path(temporary) / "profile"
        table = profiling.profile(profiling.Request(model=str(folder), rule=rule, device=device), profiled)
        _copy(profiled / "heads.csv", folder / "heads.csv")
        share = profiling.local_share(pd.read_csv(profiled / "heads.csv"))
    if routing is not None:
        table = replace(RoutingTable.load(routing), weights_sha256=weights_sha256)
    table.save(folder / "routing.json")
    card.write_loss_curve(run / "log.csv", folder / "loss.png")
    scored = scores.score(
        {
            "bicubic": scores.bicubic,
            "in-band": scores.in_band,
            "dense": scores.by_model(load_model(folder).model.to(device)),
            "routed": scores.by_model(load_model(folder, table).model.to(device)),
        },
        list(scores.held_out(check)),
    )
    with files.replacing(folder / "scores.csv") as whole:
        scored.to_csv(whole, index=False, float_format="%.6g", lineterminator="\n")
    notes = run / "notes.md"
    settings = record.read(run)["settings"]
    text = card.text(
        scores=pd.read_csv(folder / "scores.csv"),
        share=share,
        table=table,
        hours=card.hours(run / "log.csv"),
        clips=[*builtin.names("train"), *sorted(settings["crops"]["videos"])],
        config=model.config,
        settings=settings,
        trained_routed=routing is not None,
        notes=notes.read_text(encoding="utf-8").strip() if notes.exists() else "",
    )
    files.write_text(folder / "README.md", text)
    return folder


def _copy(source: Path, target: Path) -> None:
    with files.replacing(target) as whole:
        shutil.copyfile(source, whole)
