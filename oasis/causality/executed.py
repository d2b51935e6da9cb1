"""Routings executed on clips that none of them was decided on; a chunk is a clip and a step of the ladder."""

import functools
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from oasis import dist, files, frontiers, harms
from oasis.causality import arms, measured
from oasis.causality.arms import Arm
from oasis.causality.chunks import finished, keep, one_thread, whole
from oasis.causality.dense import Dense, common_grid
from oasis.causality.judged import Judge
from oasis.causality.measured import content
from oasis.data import cutting
from oasis.data.clips import LoadedClip
from oasis.data.cutting import Cut
from oasis.frontiers import Executed
from oasis.model import Loaded, load_model
from oasis.routing import GLOBAL, Pattern, RoutingTable


@dataclass(frozen=True, kw_only=True)
class Request:
    """Routings from the files of `oasis harm` in `harms`, judged on `data`, by default the held-out clips."""

    harms: Path
    model: str = "tiny"
    data: str = "builtin-test"
    cut: Cut = field(default_factory=Cut)
    seeds: int = arms.SEEDS
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.seeds < 2:
            raise ValueError(f"seeds are {self.seeds}; allowed: at least 2, as one draw says nothing of chance")

    def load(self) -> Loaded:
        """Return the model where it is to run."""
        loaded = load_model(self.model)
        loaded.model.to(self.device).dit.backend = harms.read(self.harms / "harms.csv")[1]["backend"]
        return loaded

    def taken(self) -> list[LoadedClip]:
        """Return the clips that judge."""
        return cutting.take(self.data, self.cut)

    def arms(self) -> list[Arm]:
        """Return what is executed, in the order of the rows."""
        return arms.arms(arms.known(self.harms), seeds=self.seeds)

    def anywhere(self) -> "Request":
        """Return the same with whole paths."""
        return replace(self, harms=self.harms.absolute(), model=whole(self.model), data=whole(self.data))


@dataclass(frozen=True, kw_only=True)
class Job:
    """The arms of one step on one clip, by their numbers."""

    request: Request
    clip: int
    step: int
    arms: tuple[int, ...]

    @property
    def name(self) -> str:
        """The name of its record."""
        return f"{self.clip:03d}-{self.step:03d}"


def execute(request: Request, work: Path, out: Path, *, workers: int = 1, engine: dist.Engine = "local") -> None:
    """Write frontier.csv into `out`; a stopped run goes on from the chunks that `work` keeps, to the same bytes."""
    loaded, taken, planned = request.load(), request.taken(), request.arms()
    about = fingerprint(request, loaded, taken)
    keep(work / "frontier.json", about)
    steps = list(dict.fromkeys(arm.ratio for arm in planned))
    numbers = [tuple(n for n, arm in enumerate(planned) if arm.ratio == ratio) for ratio in steps]
    asked = request.anywhere() if engine == "ray" else request
    jobs = [
        Job(request=asked, clip=clip, step=step, arms=numbers[step]) for clip in range(len(taken)) for step in range(len(steps))
    ]
    found = finished(_chunk, jobs, work / "frontier-chunks", workers=workers, engine=engine)
    _at.cache_clear()
    out.mkdir(parents=True, exist_ok=True)
    frontiers.write(out / "frontier.csv", [Executed(**row) for chunk in found.values() for row in chunk["rows"]], about)


def fingerprint(request: Request, loaded: Loaded, taken: list[LoadedClip]) -> dict[str, Any]:
    """Return what decides the numbers; ValueError if a clip that judges was decided on, or the grids or weights differ."""
    _, decided = harms.read(request.harms / "harms.csv")
    if decided["weights_sha256"] != loaded.weights_sha256:
        raise ValueError(f"{request.harms}: its harms are of weights {decided['weights_sha256']}, not {loaded.weights_sha256}")
    grid = common_grid(loaded.model, {clip.name: clip.lq for clip in taken})
    if [grid.t, grid.h, grid.w] != decided["grid"]:
        raise ValueError(
            f"the clips have a token grid of {grid} (t, h, w), the harms were measured at "
            f"{'x'.join(map(str, decided['grid']))}; their costs would differ"
        )
    hashes = {clip.name: content(clip) for clip in taken}
    seen = sorted(name for name, sha256 in hashes.items() if sha256 in decided["clips"].values())
    if seen:
        raise ValueError(f"clip {seen[0]!r} is one that the harms were measured on; routings must be judged on others")
    own = measured.fingerprint(_as_measured(request), loaded, taken)
    kept = ("model", "trained", "weights_sha256", "data", "clips", "frames", "crop", "dtype", "device", "oasis", "torch")
    return {
        **{name: own[name] for name in kept},
        **{"backend": decided["backend"], "patterns": decided["patterns"], "grid": decided["grid"], "seeds": request.seeds},
        **{f"{name}_sha256": files.sha256(request.harms / f"{name}.csv") for name in ("heads", "harms", "changes")},
        "decided_on": sorted(decided["clips"]),
    }


def changes_of(table: RoutingTable) -> dict[tuple[int, int], Pattern]:
    """Return the pattern of every head that a routing changes."""
    given = {
        (layer, head): pattern for layer in range(len(table.layers)) for head, pattern in enumerate(table.layer_patterns(layer))
    }
    return {head: pattern for head, pattern in given.items() if pattern != GLOBAL}


class _Kept(NamedTuple):
    name: str
    judge: Judge
    arms: list[Arm]


@functools.lru_cache(maxsize=1)
def _at(request: Request, number: int) -> _Kept:
    clip = cutting.one(request.data, request.cut, number)
    return _Kept(clip.name, Judge(Dense(request.load().model, clip.lq), clip.hr), request.arms())


def _chunk(job: Job) -> dict[str, Any]:
    """Execute the arms of one chunk; equal routings of several arms are executed once."""
    one_thread()
    kept = _at(job.request, job.clip)
    done: dict[tuple[str, ...], dict[str, Any]] = {}
    rows = []
    for arm in (kept.arms[number] for number in job.arms):
        layers = arm.table.layers
        if layers not in done:
            changes = changes_of(arm.table)
            dense = kept.judge.dense
            done[layers] = asdict(kept.judge.judge(dense.changed(changes) if changes else dense.latents))
        rows.append(
            {
                **{"arm": arm.name, "control": int(arm.control), "seed": arm.seed, "ratio": arm.ratio},
                **{"attention_flops_ratio": arm.flops, "heads": arm.heads, "layers": "/".join(layers)},
                **{f"{name}_total": arm.totals[name] for name in frontiers.TOTALS},
                **{"clip": kept.name, **done[layers], "psnr_y_dense": kept.judge.psnr_y},
            }
        )
    return {"rows": rows}


def _as_measured(request: Request) -> measured.Request:
    return measured.Request(model=request.model, data=request.data, cut=request.cut, device=request.device)
