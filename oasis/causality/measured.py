"""Harm measured, chunk by chunk: a clip and the layer where changes begin; each chunk is whole or absent."""

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

import oasis
from oasis import dist, files, harms, probe
from oasis.causality.changes import changes
from oasis.causality.chunks import finished, keep, one_thread, whole
from oasis.causality.dense import Dense, common_grid
from oasis.causality.judged import Judge
from oasis.causality.variants import Variant, variants
from oasis.cost import attended_pairs
from oasis.data import cutting
from oasis.data.clips import LoadedClip
from oasis.data.cutting import Cut
from oasis.harms import Change, Harm
from oasis.model import Loaded, load_model
from oasis.routing import GLOBAL, parse_pattern

PATTERNS = ("frame", "window-8x8")


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is changed on which clips: `model` and `data` as the user names them, `pairs` in all, drawn by `seed`."""

    model: str = "tiny"
    data: str = "builtin-train"
    patterns: tuple[str, ...] = PATTERNS
    cut: Cut = field(default_factory=lambda: Cut(clips=4))
    pairs: int = 64
    seed: int = 0
    backend: str = "folded"
    device: str = "cpu"

    def __post_init__(self) -> None:
        parsed = [parse_pattern(name) for name in self.patterns]
        if not parsed or GLOBAL in parsed or len(set(parsed)) < len(parsed):
            raise ValueError(
                f"patterns are {', '.join(self.patterns)}; allowed: each once, and not global, which harms nothing"
            )
        if self.pairs < 0 or self.seed < 0:
            raise ValueError(f"pairs are {self.pairs}, the seed {self.seed}; allowed: at least 0")

    def taken(self) -> list[LoadedClip]:
        """Return the clips: of the built-in ones those of training, because others judge what is decided here."""
        return cutting.take(self.data, self.cut)

    def anywhere(self) -> "Request":
        """Return the same with whole paths."""
        return replace(self, model=whole(self.model), data=whole(self.data))

    def load(self) -> Loaded:
        """Return the model where and how it is to run."""
        loaded = load_model(self.model)
        loaded.model.to(self.device).dit.backend = self.backend
        return loaded

    def variants(self, loaded: Loaded) -> list[Variant]:
        """Return what is changed, in the order of the rows."""
        sizes = loaded.model.config.dit
        return variants(sizes.layers, sizes.heads, self.patterns, pairs=self.pairs, seed=self.seed)


@dataclass(frozen=True, kw_only=True)
class Job:
    """The variants of one clip, by its number, that begin at one layer."""

    request: Request
    clip: int
    layer: int

    @property
    def name(self) -> str:
        """The name of its record."""
        return f"{self.clip:03d}-{self.layer:03d}"


def measure(request: Request, work: Path, out: Path, *, workers: int = 1, engine: dist.Engine = "local") -> None:
    """Write heads.csv, harms.csv and changes.csv into `out`; a stopped run goes on from the chunks that `work` keeps.

    Rows are in the order of the request, so neither a stop nor the number of workers changes a byte.
    """
    loaded, taken = request.load(), request.taken()
    grid = common_grid(loaded.model, {clip.name: clip.lq for clip in taken})
    for name in request.patterns:
        if attended_pairs(parse_pattern(name), grid) == grid.tokens**2:
            raise ValueError(
                f"pattern {name} covers the whole token grid {grid} (t, h, w) and changes nothing; use longer clips"
            )
    about = fingerprint(request, loaded, taken)
    keep(work / "request.json", about)
    planned = request.variants(loaded)
    layers = range(loaded.model.config.dit.layers)
    asked = request.anywhere() if engine == "ray" else request  # its workers stand in another folder
    jobs = [Job(request=asked, clip=number, layer=layer) for number in range(len(taken)) for layer in layers]
    found = finished(_chunk, jobs, work / "chunks", workers=workers, engine=engine)
    _at.cache_clear()
    by_clip = [[found[job.name] for job in jobs if job.clip == number] for number in range(len(taken))]
    rows = [row for chunks in by_clip for row in _in_order(planned, chunks)]
    about |= {"grid": [grid.t, grid.h, grid.w]}
    out.mkdir(parents=True, exist_ok=True)
    _probe(request, loaded, taken, out / "heads.csv")
    inside = [Change(**row) for chunk in found.values() for row in chunk["changes"]]
    harms.write_changes(out / "changes.csv", inside, about)
    harms.write(out / "harms.csv", rows, about)


def _in_order(planned: Sequence[Variant], chunks: Sequence[dict[str, Any]]) -> list[Harm]:
    """Return the rows of one clip in the order of the variants; each chunk holds those of one layer in that order."""
    rows = [iter(chunk["harms"]) for chunk in chunks]
    return [Harm(**next(rows[variant.first])) for variant in planned]


def fingerprint(request: Request, loaded: Loaded, taken: Sequence[LoadedClip]) -> dict[str, Any]:
    """Return what decides the numbers."""
    return {
        "model": loaded.model.config.name,
        "trained": loaded.trained,
        "weights_sha256": loaded.weights_sha256,
        "data": request.data,
        "clips": {clip.name: content(clip) for clip in taken},
        "frames": request.cut.frames,
        "crop": list(request.cut.crop),
        "patterns": list(request.patterns),
        "pairs": request.pairs,
        "seed": request.seed,
        "dtype": str(loaded.model.prompt.dtype).removeprefix("torch."),
        "backend": request.backend,
        "device": request.device,
        "oasis": oasis.__version__,
        "torch": torch.__version__,
    }


def content(clip: LoadedClip) -> str:
    """Return a SHA-256 of the pixels that are taken of a clip."""
    digest = hashlib.sha256()
    for part in (clip.lq, clip.hr):
        if part is not None:
            digest.update(f"{tuple(part.shape)}".encode() + part.contiguous().numpy().tobytes())
    return digest.hexdigest()


class _Kept(NamedTuple):
    """What chunks of one clip share."""

    name: str
    dense: Dense
    judge: Judge
    variants: list[Variant]


@functools.lru_cache(maxsize=1)
def _at(request: Request, number: int) -> _Kept:
    loaded = request.load()
    clip = cutting.one(request.data, request.cut, number)
    dense = Dense(loaded.model, clip.lq)
    return _Kept(clip.name, dense, Judge(dense, clip.hr), request.variants(loaded))


def _chunk(job: Job) -> dict[str, Any]:
    """Measure one chunk: rows of harm, and what changes inside its layer, as JSON holds them."""
    one_thread()
    kept = _at(job.request, job.clip)
    found = [_harm(kept, variant) for variant in kept.variants if variant.first == job.layer]
    inside = changes(kept.dense, kept.name, job.layer, job.request.patterns)
    return {"harms": [asdict(row) for row in found], "changes": [asdict(row) for row in inside]}


def _harm(kept: _Kept, variant: Variant) -> Harm:
    judged = kept.judge.judge(kept.dense.changed(variant.changes))
    dense = kept.judge.psnr_y
    layers, heads, patterns = variant.names
    return Harm(
        clip=kept.name,
        kind=variant.kind,
        layers=layers,
        heads=heads,
        patterns=patterns,
        latent_mse=judged.latent_mse,
        latent_mse_rel=judged.latent_mse_rel,
        pixel_mse=judged.pixel_mse,
        psnr_to_dense=judged.psnr_to_dense,
        psnr_y_loss=None if judged.psnr_y is None or dense is None else dense - judged.psnr_y,
    )


def _probe(request: Request, loaded: Loaded, taken: Sequence[LoadedClip], path: Path) -> None:
    """Write the statistics of the same heads on the same clips."""
    one_thread()
    patterns = [parse_pattern(name) for name in request.patterns]
    found = probe.probe(probe.Own(loaded), [(clip.name, clip.lq) for clip in taken], patterns)
    with files.replacing(path) as temporary:
        found.heads.to_csv(temporary, index=False, float_format="%.9g", lineterminator="\n")
