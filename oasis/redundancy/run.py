"""A model and clips become tables, pictures and pages of what is redundant in it besides its attention patterns."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

import oasis
from oasis import files, profiling, tables
from oasis.data import cutting
from oasis.data.clips import LoadedClip
from oasis.data.cutting import Cut
from oasis.heads import read_heads
from oasis.model import Loaded, load_model
from oasis.probe import as_input
from oasis.redundancy import clusters, constants, pages, similarity, skips, tokens
from oasis.redundancy.effects import output
from oasis.redundancy.rows import Alike, Clustering, Constant, Grouped, Similarity, Skip
from oasis.redundancy.seen import watch
from oasis.report.chapters import write_book
from oasis.routing import RoutingTable

TABLES: Mapping[str, tuple[str, type]] = {
    "similarity": ("similarity", Similarity),
    "clusters": ("similarity", Clustering),
    "groups": ("similarity", Grouped),
    "skips": ("layers", Skip),
    "constants": ("layers", Constant),
    "tokens": ("tokens", Alike),
}
"""Every table: the chapter whose folder it lies in, and its rows."""
PARTS_PER_LAYER = 4


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to measure: `model` and `data` as the user names them."""

    model: str = "tiny"
    data: str = "builtin-train"
    cut: Cut = field(default_factory=lambda: Cut(clips=6))
    seed: int = 0
    device: str = "cpu"


def run(request: Request, out: Path, profile: Path | None = None) -> Path:
    """Write chapters (similarity, layers, tokens) and a page of all, and return the page.

    `profile`: the profiled run that the heads are grouped by; without one the heads are profiled into `out`/profile. The
    folder receives everything or nothing. ValueError and OSError say what does not fit.
    """
    loaded = load_model(request.model)
    loaded.model.to(request.device)
    with files.replacing_folder(out) as folder:
        if profile is None:
            profile = folder / "profile"
            profiling.profile(_profiled(request), profile)
        found = _measured(loaded, request, profile)
        record = _record(loaded, request, files.sha256(profile / "heads.csv"))
        for name, (chapter, row) in TABLES.items():
            (folder / chapter).mkdir(exist_ok=True)
            tables.write(folder / chapter / f"{name}.csv", row, found[name], record)
        chapters = [write(folder / name, profile, record) for name, write in pages.CHAPTERS.items()]
        write_book(folder, f"What else is redundant in {loaded.model.config.name}", chapters)
    return out / "index.html"


def _profiled(request: Request) -> profiling.Request:
    return profiling.Request(
        model=request.model,
        data=request.data,
        frames=request.cut.frames,
        crop=request.cut.crop,
        device=request.device,
        command="oasis redundancy",
    )


def _measured(loaded: Loaded, request: Request, profile: Path) -> dict[str, list[Any]]:
    table = RoutingTable.load(profile / "routing.json")
    groups = clusters.find(read_heads(profile / "heads.csv"), table, seed=request.seed)
    found: dict[str, list[Any]] = {name: [] for name in TABLES}
    found |= {"clusters": groups.clusterings, "groups": groups.heads}
    taken = cutting.take(request.data, request.cut)
    steps = len(taken) * (PARTS_PER_LAYER * loaded.model.config.dit.layers + constants.COUNT)
    with tqdm(total=steps, desc="leaving out", unit="part", delay=0.5, dynamic_ncols=True) as progress:
        for clip in taken:
            for name, rows in _of_clip(loaded, request, clip, progress.update):
                found[name].extend(rows)
    return found


def _of_clip(
    loaded: Loaded, request: Request, clip: LoadedClip, tick: Callable[[], Any]
) -> Iterator[tuple[str, Iterator[Any]]]:
    model, frames = loaded.model, clip.lq
    truth = clip.hr if model.config.scale == cutting.SCALE else None
    seen, whole = watch(model, as_input(model, frames)), output(model, frames)
    if not torch.equal(seen.latents, whole.latents):
        raise AssertionError(f"clip {clip.name!r}: watching changed what the network computes")
    yield "similarity", similarity.rows(clip.name, seen, seed=request.seed)
    yield "skips", skips.rows(model, clip.name, frames, truth, whole, seen.stream, tick)
    yield "constants", constants.rows(model, clip.name, frames, truth, whole, tick)
    side = 8 // model.config.scale if truth is None else 8
    _, rows, columns = model.config.dit.patch
    clean = frames if truth is None else truth
    yield "tokens", tokens.rows(clip.name, seen, clean, (side * rows, side * columns), seed=request.seed)


def _record(loaded: Loaded, request: Request, heads_csv_sha256: str) -> dict[str, Any]:
    return json.loads(
        json.dumps(
            {
                "format": 1,
                "kind": "redundancy",
                "name": loaded.model.config.name,
                "weights_sha256": loaded.weights_sha256,
                "trained": loaded.trained,
                **asdict(request),
                "device": profiling.device_name(request.device),
                "heads_csv_sha256": heads_csv_sha256,
                "versions": {
                    "oasis": oasis.__version__,
                    **{name: version(name) for name in ("torch", "scikit-learn", "numpy")},
                },
            }
        )
    )
