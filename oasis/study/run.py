"""One model becomes one report: each chapter is made by the command of its own, and kept when a stopped run goes on."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import oasis
from oasis import files, probe, profiling, stability
from oasis.causality import executed, frontier, harm, measured
from oasis.data import clips
from oasis.data.cutting import Cut
from oasis.model import load_model
from oasis.redundancy import run as redundant
from oasis.report.chapters import NAME, write_book
from oasis.report.run import read_run
from oasis.routing import GLOBAL
from oasis.study import conditions, gallery

CHAPTERS = {
    "gallery": ("gallery",),
    "stability": ("stability",),
    "harm": ("harm",),
    "frontier": ("frontier",),
    "redundancy": ("redundancy/similarity", "redundancy/layers", "redundancy/tokens"),
}
"""The chapters that each step writes, in the order of the page."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is studied: `model` as the user names it, on a part of the built-in clips; stability has sizes of its own."""

    model: str = "tiny"
    cut: Cut = field(default_factory=lambda: Cut(clips=6))
    seed: int = 0
    device: str = "cpu"


def run(request: Request, work: Path, out: Path, *, workers: int, say: Callable[[str], Any] = lambda text: None) -> Path:
    """Write all chapters into `out`, and a page of all; return the page. Chapters that are there are kept.

    `work` keeps what a stopped run has measured, `say` is told how long each step took. ValueError if either folder holds
    another study, or what a step refuses.
    """
    record = _record(request)
    for folder in (work, out):
        folder.mkdir(parents=True, exist_ok=True)
    with files.alone(work):
        _agree(record, work, out)
        steps: dict[str, Callable[[], Any]] = {
            "gallery": lambda: _gallery(request, out, record),
            "stability": lambda: _stability(request, work, out, record),
            "harm": lambda: harm.run(_harm(request), work / "chunks", out / "harm", workers=workers),
            "frontier": lambda: frontier.run(_frontier(request, out), work / "chunks", out / "frontier", workers=workers),
            "redundancy": lambda: redundant.run(_redundancy(request), out / "redundancy", out / "profile"),
        }
        for name, step in steps.items():
            if all((out / chapter / NAME).is_file() for chapter in CHAPTERS[name]):
                say(f"{name}: is there")
                continue
            started = time.monotonic()
            step()
            say(f"{name}: {time.monotonic() - started:.0f} s")
        every = [out / chapter for chapters in CHAPTERS.values() for chapter in chapters]
        return write_book(out, f"Which heads of {record['name']} matter", every)


def _record(request: Request) -> dict[str, Any]:
    """Return what is studied, as JSON holds it; ValueError unless the model is dense."""
    loaded = load_model(request.model)
    if any(pattern != GLOBAL for layer in loaded.model.dit.patterns for pattern in layer):
        raise ValueError(f"model {request.model!r} is routed; only of a dense one can be asked how to route it")
    said = {
        "name": loaded.model.config.name,
        "weights_sha256": loaded.weights_sha256,
        "trained": loaded.trained,
        **asdict(request),
        "device": profiling.device_name(request.device),
        "oasis": oasis.__version__,
    }
    return json.loads(json.dumps(said))


def _agree(record: Mapping[str, Any], *folders: Path) -> None:
    """Note in the folders what is studied; ValueError if another study left something in one of them."""
    notes = [folder / "study.json" for folder in folders]
    for note in notes:
        there = json.loads(note.read_text(encoding="utf-8")) if note.exists() else record
        for name, value in record.items():
            if there.get(name) != value:
                raise ValueError(f"{note}: {name} is {there.get(name)!r}, asked for is {value!r}; name another folder")
    for note in notes:
        files.write_text(note, json.dumps(record, indent=1) + "\n")


def _gallery(request: Request, out: Path, record: Mapping[str, Any]) -> None:
    """Profile the heads (the pages of the other chapters link that run) and show every one of them."""
    asked = profiling.Request(
        model=request.model,
        data="builtin-train",
        frames=request.cut.frames,
        crop=request.cut.crop,
        device=request.device,
        command="oasis study",
    )
    profiling.profile(asked, out / "profile")
    profiled = read_run(out / "profile")
    looked = next(clip for clip in clips.load("builtin-train") if clip.name == profiled.looks["clip"].item())
    loaded = load_model(request.model)
    loaded.model.to(request.device)
    gallery.write(probe.Own(loaded), profiled, profiling.centre(looked.lq, asked), out / "gallery", record)


def _stability(request: Request, work: Path, out: Path, record: Mapping[str, Any]) -> None:
    tables = conditions.measure(request.model, work, conditions.of(request.model), device=request.device)
    stability.write(tables, out / "stability", seed=request.seed, trained=record["trained"], command="oasis study")


def _harm(request: Request) -> measured.Request:
    return measured.Request(model=request.model, cut=request.cut, seed=request.seed, device=request.device)


def _frontier(request: Request, out: Path) -> executed.Request:
    return executed.Request(harms=out / "harm", model=request.model, cut=request.cut, device=request.device)


def _redundancy(request: Request) -> redundant.Request:
    return redundant.Request(model=request.model, cut=request.cut, seed=request.seed, device=request.device)
