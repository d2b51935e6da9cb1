"""A finished training run becomes a model folder: weights, head statistics, routing, scores, card."""

import json
import shutil
import tempfile
from pathlib import Path

import pandas as pd
import torch

from oasis import files, profiling
from oasis.data import builtin
from oasis.model import load_model
from oasis.model.checkpoint import save
from oasis.model.oasis import Oasis
from oasis.publish import card, scores


def publish(model: Oasis, run: Path, videos: Path | None, check: Path | None) -> Path:
    """Write RUN/model, ready to load by name of its folder, and return it.

    The weights are stored as float16 and everything else is measured on what is stored. `videos` were trained on,
    `check` holds videos that were not. RUN/notes.md, where it exists, says what log and schedule do not.
    """
    folder = run / "model"
    save(model, folder, trained=True, dtype=torch.float16)
    with tempfile.TemporaryDirectory() as temporary:
        profiled = Path(temporary) / "profile"
        table = profiling.profile(profiling.Request(model=str(folder)), profiled)
        for name in ("heads.csv", "routing.json"):
            with files.replacing(folder / name) as whole:
                shutil.copyfile(profiled / name, whole)
        share = profiling.local_share(pd.read_csv(profiled / "heads.csv"))
    card.write_loss_curve(run / "log.csv", folder / "loss.png")
    scored = scores.score(
        {
            "bicubic": scores.bicubic,
            "dense": scores.by_model(load_model(folder).model),
            "routed": scores.by_model(load_model(folder, table).model),
        },
        list(scores.held_out(check)),
    )
    with files.replacing(folder / "scores.csv") as whole:
        scored.to_csv(whole, index=False, float_format="%.6g", lineterminator="\n")
    notes = run / "notes.md"
    text = card.text(
        scores=pd.read_csv(folder / "scores.csv"),
        share=share,
        table=table,
        hours=card.hours(run / "log.csv"),
        clips=[*builtin.names("train"), *sorted(path.name for path in (videos.iterdir() if videos else ()))],
        stages=json.loads((run / "stages.json").read_text(encoding="utf-8")),
        notes=notes.read_text(encoding="utf-8").strip() if notes.exists() else "",
    )
    files.write_text(folder / "README.md", text)
    return folder
