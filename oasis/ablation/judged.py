"""What variants score, how long their networks take, and what their routings lose."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from oasis import decide, files, profiling, video
from oasis.ablation.arms import Arm
from oasis.ablation.request import INCONSISTENT, STANDARD, Request
from oasis.ablation.variants import Variant, upscaled
from oasis.data import builtin, degrading
from oasis.results import Score
from oasis.suite import judging, outputs
from oasis.suite.settings import FRAMES
from oasis.timing import measure

ROUNDS = 5


def scores(request: Request, variants: Sequence[Variant], lq: str, work: Path, workers: int) -> dict[str, list[Score]]:
    """Upscale the test clips, degraded as `lq` says, by every variant, and return its scores by name."""
    names = request.names("test")
    folder = work / "test" / "lq" if lq == STANDARD else _inconsistent(names, work)
    clips = outputs.read(folder, names, request.frames, builtin.FPS)
    for variant in variants:
        outputs.write({variant.name: _Lazily(request, variant)}, clips, work / "outputs" / lq)
    # As they are: a network that was trained for a few steps may well shift colours, and that is its score.
    align = "as-is" if request.frames == FRAMES else f"frames:start=0,count={request.frames};as-is"
    jobs = [
        judging.Job(
            method=variant.name,
            outputs=work / "outputs" / lq / variant.name,
            lq=folder,
            out=work / "scores" / lq / variant.name,
            clips=len(names),
            align=align,
        )
        for variant in variants
    ]
    return judging.score(jobs, workers)


class _Lazily:
    """A variant's network, loaded when the first clip comes: most outputs are there already when a run goes on."""

    def __init__(self, request: Request, variant: Variant) -> None:
        self.load = partial(variant.load, request.device)
        self.network: Any = None

    def __call__(self, frames: Tensor) -> Any:
        self.network = self.network or self.load()
        return upscaled(self.network, frames)


def _inconsistent(names: Sequence[str], work: Path) -> Path:
    """Degrade the test clips anew, each frame differently, unless that was done."""
    (work / "inconsistent").mkdir(exist_ok=True)
    for name in names:
        place = work / "inconsistent" / name
        degrading.degrade(degrading.Job(source=work / "test" / "gt" / name, out=place, recipe=INCONSISTENT, seed=0))
    return work / "inconsistent"


def seconds(request: Request, arms: Sequence[Arm], work: Path) -> dict[str, float]:
    """Return the time of every arm as a share of the first's; weights do not change it, so those before training are timed."""
    path = work / "seconds.json"
    if not path.exists():
        lq = video.read(work / "test" / "lq" / request.names("test")[0]).frames[: request.frames]
        calls = {arm.name: _call(request, arm, lq) for arm in arms}
        found = {name: each.ratio for name, each in measure(calls, ROUNDS, device=request.device).items()}
        files.write_text(path, json.dumps(found) + "\n")
    return json.loads(path.read_text(encoding="utf-8"))


def _call(request: Request, arm: Arm, lq: Tensor) -> Callable[[], Any]:
    network = Variant(arm=arm, seed=None, model=request.model).load(request.device)
    return lambda: list(upscaled(network, lq))


def profiled(request: Request, model: str, folder: Path, work: Path) -> Path:
    """Measure the heads of a model on training clips, unless that was done, and return its heads.csv."""
    if not (folder / "run.json").exists():
        asked = profiling.Request(
            model=model, data=str(work / "train" / "lq"), frames=request.frames, device=request.device, command="oasis ablate"
        )
        profiling.profile(asked, folder)
    return folder / "heads.csv"


def kl(request: Request, variant: Variant, work: Path) -> float:
    """Return what the arm's routing loses by the variant's own heads, in nats."""
    if variant.arm.table is None:
        return 0.0
    folder = work / "heads" if variant.seed is None else Path(variant.model).parent / "profile"
    return decide.total(decide.read_heads(profiled(request, variant.model, folder, work)), variant.arm.table)
