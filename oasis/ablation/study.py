"""An ablation from its request to its rows; each step takes up what a stopped run left."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

import oasis
from oasis import ablations, files
from oasis.ablation import arms, judged
from oasis.ablation.arms import Arm
from oasis.ablation.request import Request
from oasis.ablation.variants import Variant, trained
from oasis.ablations import Ablation
from oasis.data.prepare import prepare_builtin
from oasis.model import load_model
from oasis.results import Score
from oasis.timing import machine
from oasis.train.presets import PRESETS
from oasis.train.shards import Shards


def run(request: Request, work: Path, out: Path, *, workers: int) -> None:
    """Train and score all arms and write their rows to `out`; a stopped run goes on from what `work` keeps."""
    work.mkdir(parents=True, exist_ok=True)
    with files.alone(work):
        _check(request, work)
        ablations.write(out, _studied(request, work, workers), _about(request))


def _studied(request: Request, work: Path, workers: int) -> Iterator[Ablation]:
    for split in ("train", "test"):
        prepare_builtin(work / split, dataset=f"builtin-{split}", names=request.names(split))
    chosen = _arms(request, work)
    routing = request.study == "routing"
    variants = [Variant(arm=arm, seed=None, model=request.model) for arm in chosen if routing]
    variants += [trained(request, arm, seed, work) for seed in range(request.seeds) for arm in chosen]
    scores = {lq: _measured(judged.scores(request, variants, lq, work, workers)) for lq in request.degradations()}
    seconds = judged.seconds(request, chosen, work) if routing else {}
    yield from _rows(request, variants, scores, seconds, work)


def _check(request: Request, work: Path) -> None:
    """Note the request in `work`; ValueError if it holds what another one made."""
    stages = [asdict(stage) for stage in request.plan()]
    crops = Shards(request.shards).index
    said = asdict(request) | {"shards": crops, "stages": stages, "weights_sha256": load_model(request.model).weights_sha256}
    mine = json.loads(json.dumps(said))
    path = work / "request.json"
    if path.exists():
        found = json.loads(path.read_text(encoding="utf-8"))
        other = sorted(name for name in mine if found.get(name) != mine[name])
        if other:
            raise ValueError(f"{work}: an ablation with other {', '.join(other)} left this; remove the folder or name another")
    files.write_text(path, json.dumps(mine, indent=1) + "\n")


def _arms(request: Request, work: Path) -> list[Arm]:
    if request.study == "schedule":
        return arms.schedules()
    return arms.routings(judged.profiled(request, request.model, work / "heads", work))


def _measured(scores: Mapping[str, Sequence[Score]]) -> dict[str, list[Score]]:
    """Return the scores without measures that no variant has on any clip, as of exact motion with some frames alone."""
    known = {score.measure for found in scores.values() for score in found if score.value is not None}
    lost = {score.measure: score.reason for found in scores.values() for score in found if score.measure not in known}
    for measure, reason in lost.items():
        tqdm.write(f"ablation: no rows of {measure}: {reason}")
    return {name: [score for score in found if score.measure in known] for name, found in scores.items()}


def _rows(
    request: Request,
    variants: Sequence[Variant],
    scores: Mapping[str, Mapping[str, Sequence[Score]]],
    seconds: Mapping[str, float],
    work: Path,
) -> Iterator[Ablation]:
    steps = sum(stage.steps for stage in request.plan())
    name = load_model(request.model).model.config.name
    for variant in variants:
        lost = judged.kl(request, variant, work)
        for lq, found in scores.items():
            for score in found[variant.name]:
                if score.value is None:  # a mean over what is left would compare arms on other clips
                    raise ValueError(f"{variant.name}, {lq} clip {score.clip}: no {score.measure}, {score.reason}")
                yield Ablation(
                    study=request.study,
                    model=name,
                    arm=variant.arm.name,
                    rule=variant.arm.rule,
                    control=int(variant.arm.control),
                    seed=variant.seed,
                    steps=0 if variant.seed is None else steps,
                    attention_flops_ratio=variant.arm.ratio,
                    kl_total=lost,
                    seconds_ratio=seconds.get(variant.arm.name),
                    lq=lq,
                    clip=score.clip,
                    measure=score.measure,
                    value=score.value,
                )


def _about(request: Request) -> dict[str, Any]:
    return {
        "oasis": oasis.__version__,
        "torch": torch.__version__,
        "weights_sha256": load_model(request.model).weights_sha256,
        "stages": [asdict(stage) for stage in request.plan()],
        "crops": Shards(request.shards).index,
        "profiled_on": request.names("train"),
        "judged_on": request.names("test"),
        "frames": request.frames,
        "trained_in_bf16": PRESETS[request.preset].bf16 if request.bf16 is None else request.bf16,
        "processor": machine.processor(request.device),
    }
