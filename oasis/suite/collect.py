"""What a bench leaves for a report: score, timing, cost and routing rows, cards of methods, and pictures."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
import yaml

from oasis import files, results, routings, timings, video
from oasis.results import Score
from oasis.suite import frames, judging, outputs
from oasis.suite.methods import Method
from oasis.suite.outputs import Clip
from oasis.suite.routings import Routed
from oasis.suite.state import Bench


def write(bench: Bench, methods: Sequence[Method], scores: Mapping[str, Sequence[Score]], routed: Sequence[Routed]) -> None:
    """Write rows and cards to where `oasis report` reads them; methods without scores get rows that say so."""
    folder = bench.out / "results"
    for part in (bench.out / "methods", *(folder / name for name in ("measured", "timings", "costs", "routings"))):
        part.mkdir(parents=True, exist_ok=True)
    for method in methods:
        card = yaml.safe_dump(asdict(method.card), sort_keys=False, allow_unicode=True, width=128)
        files.write_text(bench.out / "methods" / f"{method.name}.yaml", card)
        target = folder / "measured" / f"{method.name}-{judging.DATASET}.csv"
        if method.name in scores:
            _copy(bench.work / "scores" / method.name / "scores.csv", target)
        else:
            missing = judging.unavailable(method.name, bench.settings.names("test"))
            results.write(target, missing, {"method": method.name, "dataset": judging.DATASET})
    device = torch.device(bench.settings.device).type
    for name in ("timings", "timings-full-size"):
        if (bench.work / f"{name}.csv").exists():
            _copy(bench.work / f"{name}.csv", folder / "timings" / f"{name.replace('timings', 'bench')}-{device}.csv")
    _copy(bench.work / "costs.csv", folder / "costs" / "bench.csv")
    _write_routings(bench, scores, routed, folder / "routings" / f"{bench.model}.csv")


def pictures(bench: Bench, methods: Sequence[str], clips: Sequence[Clip]) -> None:
    """Write the pictures of the ground truth and of all outputs."""
    for clip in clips:
        shown = {"ground-truth": video.read(bench.work / "test" / "gt" / clip.name).frames[: len(clip.lq)]}
        for method in methods:
            shown[method] = video.read(outputs.path(bench.work / "outputs", method, clip.name)).frames
        frames.write(shown, bench.out / "frames" / judging.DATASET / clip.name)


def _write_routings(bench: Bench, scores: Mapping[str, Sequence[Score]], routed: Sequence[Routed], path: Path) -> None:
    timed, machine = timings.read(bench.work / "timings.csv")
    ratios = {row.subject: row.ratio for row in timed}
    clips = bench.settings.names("test")
    rows = [
        routings.Routing(
            model=bench.model,
            rule=str(each.rule),
            control=int(each.control),
            heads=each.heads,
            attention_flops_ratio=each.ratio,
            kl_total=each.kl_total,
            seconds_ratio=ratios[bench.variant(each.name)],
            measure=measure,
            quality=quality,
            quality_dense=dense,
            clips=len(clips),
        )
        for each in routed
        for measure, quality in judging.qualities(scores, bench.variant(each.name)).items()
        if quality is not None and (dense := judging.mean(scores[bench.dense], measure)) is not None
    ]
    about = {
        "weights_sha256": bench.loaded.weights_sha256,
        "heads_csv_sha256": files.sha256(bench.work / "heads" / "heads.csv"),
        "profiled_on": bench.settings.names("train"),
        "judged_on": clips,
        "machine": machine,
    }
    routings.write(path, rows, about)


def _copy(source: Path, target: Path) -> None:
    with files.replacing(target) as temporary:
        shutil.copyfile(source, temporary)
