"""A model and clips become tables, pictures and pages of what is redundant in it besides its attention patterns."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

import oasis
from oasis import files, profiling, tables
from oasis.data import clips
from oasis.data.clips import LoadedClip
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
    """What to measure: names as `profiling.Request` has them; `clips` at most, the first by name."""

    model: str = "tiny"
    data: str = "builtin-train"
    clips: int = 8
    frames: int = 9
    crop: tuple[int, int] = (48, 80)
    seed: int = 0
    device: str = "cpu"


def run(request: Request, out: Path) -> Path:
    """Write chapters (similarity, layers, tokens) and a page of all, and return the page.

    Beside them lies the profiled run that the heads are grouped by. The folder receives all of them or none. ValueError and
    OSError say what does not fit.
    """
    loaded = load_model(request.model)
    loaded.model.to(request.device)
    with files.replacing_folder(out) as folder:
        profiled = profiling.Request(
            model=request.model,
            data=request.data,
            frames=request.frames,
            crop=request.crop,
            device=request.device,
            command="oasis redundancy",
        )
        profiling.profile(profiled, folder / "profile")
        found = _measured(loaded, request, folder / "profile")
        record = _record(loaded, request, files.sha256(folder / "profile" / "heads.csv"))
        for name, (chapter, row) in TABLES.items():
            (folder / chapter).mkdir(exist_ok=True)
            tables.write(folder / chapter / f"{name}.csv", row, found[name], record)
        chapters = [write(folder / name, record) for name, write in pages.CHAPTERS.items()]
        write_book(folder, f"What else is redundant in {loaded.model.config.name}", chapters)
    return out / "index.html"


def _measured(loaded: Loaded, request: Request, profile: Path) -> dict[str, list[Any]]:
    table = RoutingTable.load(profile / "routing.json")
    groups = clusters.find(read_heads(profile / "heads.csv"), table, seed=request.seed)
    found: dict[str, list[Any]] = {name: [] for name in TABLES}
    found |= {"clusters": groups.clusterings, "groups": groups.heads}
    taken = [clip for _, clip in zip(range(request.clips), clips.load(request.data, frames=request.frames), strict=False)]
    steps = len(taken) * (PARTS_PER_LAYER * loaded.model.config.dit.layers + constants.COUNT)
    with tqdm(total=steps, desc="leaving out", unit="part", delay=0.5, dynamic_ncols=True) as progress:
        for clip in taken:
            for name, rows in _of_clip(loaded, request, clip, progress.update):
                found[name].extend(rows)
    return found


def _of_clip(
    loaded: Loaded, request: Request, clip: LoadedClip, tick: Callable[[], Any]
) -> Iterator[tuple[str, Iterator[Any]]]:
    model = loaded.model
    frames, truth = cut(clip, request, model.config.scale)
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


def cut(clip: LoadedClip, request: Request, scale: int) -> tuple[Tensor, Tensor | None]:
    """Return the middle of a clip as the request has it, and of its ground truth where that is `scale` times as large."""
    asked = profiling.Request(frames=request.frames, crop=request.crop)
    frames = profiling.centre(clip.lq, asked)
    if clip.hr is None or tuple(clip.hr.shape[-2:]) != tuple(scale * side for side in clip.lq.shape[-2:]):
        return frames, None
    top, left = ((whole - part) // 2 * scale for whole, part in zip(clip.lq.shape[-2:], frames.shape[-2:], strict=True))
    height, width = (scale * side for side in frames.shape[-2:])
    return frames, clip.hr[: request.frames, :, top : top + height, left : left + width]


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
