"""The whole bench, step by step; each step takes up what a stopped run left."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from oasis import files, profiling
from oasis.data import builtin
from oasis.data.prepare import prepare_builtin
from oasis.model import load_model
from oasis.report.board import rows
from oasis.report.leaderboard import write_leaderboard
from oasis.suite import collect, counted, judging, methods, outputs, summary, timed
from oasis.suite.methods import Method, Upscale
from oasis.suite.outputs import Clip
from oasis.suite.routings import choose
from oasis.suite.settings import FRAMES, ROUNDS, Settings
from oasis.suite.state import Bench


@dataclass(frozen=True, kw_only=True)
class Done:
    """What to tell the user; `complete` if nothing failed. Baselines without weights are told, and are no failure."""

    lines: tuple[str, ...]
    complete: bool


def run(settings: Settings, out: Path, work: Path, *, workers: int) -> Done:
    """Run everything.

    `out` receives results/, methods/, frames/, and the report that `oasis report` makes of them; `work` keeps clips, head
    statistics, routings, outputs and scores, from which a stopped run goes on. ValueError if `work` has other settings, or
    if another bench is at work there.
    """
    bench = Bench(settings, load_model(settings.model), out, work)
    work.mkdir(parents=True, exist_ok=True)
    with files.alone(work):
        settings.check(work, bench.loaded.weights_sha256)
        return _run(bench, workers)


def _run(bench: Bench, workers: int) -> Done:
    work, out = bench.work, bench.out
    with bench.step("clips"):
        clips = _clips(bench)
    with bench.step("heads"):
        _profile(bench)
    routed = choose(work / "heads" / "heads.csv")
    (work / "routings").mkdir(exist_ok=True)
    for each in routed:
        each.table.save(work / "routings" / f"{each.name}.json")
    every = methods.methods(bench, routed)
    with bench.step("outputs"):
        ready, missing = methods.opened(every)
        outputs.write(ready, clips, work / "outputs")
    with bench.step("scores"):
        scores = judging.score([_job(bench, name) for name in ready], workers)
    with bench.step("times"):
        _time(bench, [method for method in every if method.name in ready], ready, clips[0])
    with bench.step("costs"):
        counted.write(bench.loaded.model.config, routed, outputs.size(clips[0]), work / "costs.csv")
    with bench.step("rows and pictures"):
        collect.write(bench, every, scores, routed)
        collect.pictures(bench, list(ready), clips)
    with bench.step("report"):
        write_leaderboard(rows.load(out / "results", out / "methods"), out, out / "frames")
    failed = [score for found in scores.values() for score in found if score.status == "failed"]
    return Done(lines=tuple(summary.lines(bench, scores, routed, missing, failed)), complete=not failed)


def _clips(bench: Bench) -> list[Clip]:
    for split in ("train", "test"):
        prepare_builtin(bench.work / split, dataset=f"builtin-{split}", names=bench.settings.names(split))
    return outputs.read(bench.work / "test" / "lq", bench.settings.names("test"), bench.settings.frames, builtin.FPS)


def _profile(bench: Bench) -> None:
    """Measure the heads on training clips only: no test clip has a say in a routing."""
    if (bench.work / "heads" / "run.json").exists():
        return
    request = profiling.Request(
        model=bench.settings.model,
        data=str(bench.work / "train" / "lq"),
        frames=bench.settings.frames,
        device=bench.settings.device,
        command="oasis bench",
    )
    profiling.profile(request, bench.work / "heads")


def _job(bench: Bench, method: str) -> judging.Job:
    settings = bench.settings
    return judging.Job(
        method=method,
        outputs=bench.work / "outputs" / method,
        lq=bench.work / "test" / "lq",
        out=bench.work / "scores" / method,
        clips=len(settings.names("test")),
        align="" if settings.frames == FRAMES else f"frames:start=0,count={settings.frames}",
    )


def _time(bench: Bench, able: Sequence[Method], ready: Mapping[str, Upscale], clip: Clip) -> None:
    device, path = bench.settings.device, bench.work / "timings.csv"
    if not path.exists():
        timed.write(able, ready, bench.dense, clip, device, ROUNDS, path)
    full_size = bench.work / "timings-full-size.csv"
    if torch.device(device).type == "cuda" and not full_size.exists():
        timed.write_full_size(ROUNDS, full_size)
