"""The whole bench, step by step; each step takes up what a stopped run left."""

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml
from tqdm import tqdm

from oasis import files, profiling, results, routings, timings, video
from oasis.data import builtin
from oasis.data.prepare import prepare_builtin
from oasis.model import load_model
from oasis.report.board import rows
from oasis.report.board.write import write_board
from oasis.report.site.page import write_site
from oasis.results import Score
from oasis.suite import counted, frames, judging, methods, outputs, timed, verdict
from oasis.suite.methods import Method, Upscale
from oasis.suite.routings import Routed, choose
from oasis.suite.settings import ROUNDS, Settings


@dataclass
class Bench:
    """A run: what was asked, where results go (`out`) and where everything else lies (`work`); `took` has seconds by step."""

    settings: Settings
    out: Path
    work: Path
    took: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Say that a step begins, and note how long it took."""
        tqdm.write(f"bench: {name}")
        start = time.monotonic()
        yield
        self.took[name] = time.monotonic() - start


def run(settings: Settings, out: Path, work: Path, *, workers: int) -> list[str]:
    """Run everything and return what to tell the user.

    `out` receives results/, methods/, frames/, and the report that `oasis report` makes of them; `work` keeps clips, head
    statistics, routings, outputs and scores, from which a stopped run goes on. ValueError if `work` has other settings.
    """
    settings.check(work)
    bench = Bench(settings, out, work)
    with bench.step("clips"):
        clips = _clips(bench)
    with bench.step("heads"):
        _profile(bench)
    routed = choose(work / "heads" / "heads.csv")
    for each in routed:
        (work / "routings").mkdir(exist_ok=True)
        each.table.save(work / "routings" / f"{each.name}.json")
    all_methods = methods.methods(settings.model, routed, settings.device)
    with bench.step("outputs"):
        ready, missing = methods.opened(all_methods)
        outputs.write(ready, clips, work / "outputs")
    able = [method for method in all_methods if method.name in ready]
    with bench.step("scores"):
        scores = judging.score([_job(bench, method.name, clips) for method in able], workers)
    with bench.step("times"):
        _time(bench, able, ready, clips[0])
    with bench.step("costs"):
        config = load_model(settings.model).model.config
        _, _, height, width = clips[0].lq.shape
        counted.write(config, routed, (settings.frames, height, width), work / "costs.csv")
    with bench.step("rows and pictures"):
        _collect(bench, all_methods, scores, _routing_rows(bench, routed, scores))
        _pictures(bench, able, clips)
    with bench.step("report"):
        _report(out)
    return [*_lines(bench, able, scores, routed), *(f"{name} is unavailable: {error}" for name, error in missing.items())]


def _clips(bench: Bench) -> list[outputs.Clip]:
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


def _job(bench: Bench, method: str, clips: Sequence[outputs.Clip]) -> judging.Job:
    whole = bench.settings.frames == Settings().frames
    return judging.Job(
        method=method,
        outputs=bench.work / "outputs" / method,
        lq=bench.work / "test" / "lq",
        out=bench.work / "scores" / method,
        clips=len(clips),
        align="" if whole else f"frames:start=0,count={bench.settings.frames}",
    )


def _time(bench: Bench, able: Sequence[Method], ready: Mapping[str, Upscale], clip: outputs.Clip) -> None:
    device, path = bench.settings.device, bench.work / "timings.csv"
    if not path.exists():
        timed.write(able, ready, methods.dense_name(bench.settings.model), clip, device, ROUNDS, path)
    full_size = bench.work / "timings-full-size.csv"
    if torch.device(device).type == "cuda" and not full_size.exists():
        timed.write_full_size(ROUNDS, full_size)


def _routing_rows(bench: Bench, routed: Sequence[Routed], scores: Mapping[str, Sequence[Score]]) -> list[routings.Routing]:
    times = {row.subject: row.ratio for row in timings.read(bench.work / "timings.csv")[0]}
    dense = methods.dense_name(bench.settings.model)
    model = dense.removesuffix("-dense")
    return [
        routings.Routing(
            model=model,
            rule=str(each.rule),
            control=int(each.control),
            heads=each.heads,
            attention_flops_ratio=each.ratio,
            kl_total=each.kl_total,
            seconds_ratio=times[f"{model}-{each.name}"],
            measure=measure,
            quality=quality,
            quality_dense=quality_dense,
            clips=len(bench.settings.names("test")),
        )
        for each in routed
        for measure, quality in judging.qualities(scores, f"{model}-{each.name}").items()
        if quality is not None and (quality_dense := judging.mean(scores[dense], measure)) is not None
    ]


def _collect(
    bench: Bench, all_methods: Sequence[Method], scores: Mapping[str, Sequence[Score]], found: Sequence[routings.Routing]
) -> None:
    """Write the rows and the cards to where a report reads them."""
    names, folder = bench.settings.names("test"), bench.out / "results"
    for part in ("measured", "timings", "costs", "routings"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (bench.out / "methods").mkdir(exist_ok=True)
    for method in all_methods:
        text = yaml.safe_dump(asdict(method.card), sort_keys=False, allow_unicode=True, width=128)
        files.write_text(bench.out / "methods" / f"{method.name}.yaml", text)
        target = folder / "measured" / f"{method.name}-{judging.DATASET}.csv"
        if method.name in scores:
            _copy(bench.work / "scores" / method.name / "scores.csv", target)
        else:
            results.write(target, judging.unavailable(method.name, names), {"method": method.name, "dataset": judging.DATASET})
    device = torch.device(bench.settings.device).type
    _copy(bench.work / "timings.csv", folder / "timings" / f"bench-{device}.csv")
    if (bench.work / "timings-full-size.csv").exists():
        _copy(bench.work / "timings-full-size.csv", folder / "timings" / f"bench-full-size-{device}.csv")
    _copy(bench.work / "costs.csv", folder / "costs" / "bench.csv")
    about: dict[str, Any] = {
        "weights_sha256": load_model(bench.settings.model).weights_sha256,
        "heads_csv_sha256": files.sha256(bench.work / "heads" / "heads.csv"),
        "profiled_on": bench.settings.names("train"),
        "judged_on": names,
        "machine": timings.read(bench.work / "timings.csv")[1],
    }
    model = methods.dense_name(bench.settings.model).removesuffix("-dense")
    routings.write(folder / "routings" / f"{model}.csv", found, about)


def _copy(source: Path, target: Path) -> None:
    with files.replacing(target) as temporary:
        shutil.copyfile(source, temporary)


def _pictures(bench: Bench, able: Sequence[Method], clips: Sequence[outputs.Clip]) -> None:
    for clip in clips:
        shown = {
            "ground-truth": video.read(bench.work / "test" / "gt" / clip.name).frames[: len(clip.lq)],
            **{method.name: video.read(outputs.path(bench.work / "outputs", method.name, clip.name)).frames for method in able},
        }
        frames.write(shown, bench.out / "frames" / judging.DATASET / clip.name)


def _report(out: Path) -> None:
    """Write leaderboard and page from the rows alone, as `oasis report` does."""
    loaded = rows.load(out / "results", out / "methods")
    write_board(loaded, out)
    write_site(loaded, out, out / "frames")


def _lines(
    bench: Bench,
    able: Sequence[Method],
    scores: Mapping[str, Sequence[Score]],
    routed: Sequence[Routed],
) -> list[str]:
    times = {row.subject: row for row in timings.read(bench.work / "timings.csv")[0]}
    model = methods.dense_name(bench.settings.model).removesuffix("-dense")
    flops = {f"{model}-{each.name}": f"{each.ratio:.3f}" for each in routed} | {f"{model}-dense": "1.000"}
    lines = [f"{'method':34} {'psnr@y':>8} {'ssim@y':>8} {'ms_ssim':>8} {'s/clip':>8} {'x dense':>8} {'attention FLOPs':>16}"]
    for method in able:
        values = judging.qualities(scores, method.name).values()
        cells = " ".join(f"{'-' if value is None else f'{value:.4f}':>8}" for value in values)
        took = times[method.name]
        lines.append(f"{method.name:34} {cells} {took.p50:8.3f} {took.ratio:8.3f} {flops.get(method.name, ''):>16}".rstrip())
    quality = {each.name: judging.qualities(scores, f"{model}-{each.name}") for each in routed}
    lines += ["", *verdict.lines(routed, quality, len(bench.settings.names("test")))]
    return [*lines, "", "seconds: " + ", ".join(f"{name} {seconds:.0f}" for name, seconds in bench.took.items())]
