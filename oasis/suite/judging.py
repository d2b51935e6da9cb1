"""Score what lies on disk by the same code that scores everybody's outputs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from oasis import dist, measures, results, weights
from oasis.results import Score
from oasis.score import request
from oasis.score.run import run

DATASET = "builtin-test"
METRICS = "basic,ewarp@true-flow-x1000,ewarp_excess@true-flow-x1000,flicker@static"
QUALITY = ("psnr@y", "ssim@y", "ms_ssim@pyiqa")
"""What routings are judged by; more is better for each."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One method's outputs to be scored into a folder."""

    method: str
    outputs: Path
    lq: Path
    out: Path
    clips: int
    align: str


def score(jobs: Sequence[Job], workers: int) -> dict[str, list[Score]]:
    """Return the rows of every method; a stopped run goes on (`oasis.score.run`)."""
    found = {}
    with tqdm(total=len(jobs), desc="scoring", unit="method", disable=None, dynamic_ncols=True) as progress:
        for number, answer in dist.run(_score, jobs, workers=max(1, min(workers, len(jobs)))):
            if isinstance(answer, dist.Lost):
                raise ValueError(f"scoring {jobs[number].method}: {answer}")
            found[jobs[number].method] = answer
            progress.update()
    return {job.method: found[job.method] for job in jobs}


def unavailable(method: str, clips: Sequence[str]) -> Iterator[Score]:
    """Yield the rows of a method without weights, named like them: one for each clip and measure, none is passed over."""
    weight = weights.WEIGHTS[method]
    reason = f"its weights {weight.file} were not on the machine; they are at {weight.address}"
    for clip in clips:
        for name in measures.chosen(METRICS):
            yield Score(
                method=method,
                dataset=DATASET,
                clip=clip,
                measure=name,
                version=measures.find(name).version,
                status="unavailable",
                value=None,
                frames=0,
                align="none",
                output_sha256="",
                reference_sha256="",
                reason=reason,
            )


def mean(scores: Sequence[Score], measure: str) -> float | None:
    """Return the mean of a measure over the clips, None if one of them has no value."""
    values = [score.value for score in scores if score.measure == measure]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def qualities(scores: Mapping[str, Sequence[Score]], method: str) -> dict[str, float | None]:
    """Return the means of the measures that routings are judged by."""
    return {measure: mean(scores[method], measure) for measure in QUALITY}


def _score(job: Job) -> list[Score]:
    plan = request.plan(
        request.Request(
            outputs=job.outputs,
            dataset=DATASET,
            lq=job.lq,
            metrics=METRICS,
            method=job.method,
            align=job.align,
            limit=job.clips,
        )
    )
    run(plan, job.out)
    return results.read(job.out / "scores.csv")[0]
