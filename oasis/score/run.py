"""Run a plan: what was measured before is kept, the rest goes to workers, every answer is on disk before the next."""

import csv
import io
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from oasis import dist, files, measures, results
from oasis.metrics.meter import Result
from oasis.results import Score
from oasis.score import clip, fingerprint, listing, summary
from oasis.score.job import ClipFacts, ClipJob, ClipScores, Value
from oasis.score.request import Plan
from oasis.score.store import Store, content_sha256, key


@dataclass(frozen=True, kw_only=True)
class Done:
    """What a run wrote and says; `complete` if every measure has a value for every clip."""

    lines: tuple[str, ...]
    paths: tuple[Path, ...]
    complete: bool


def run(plan: Plan, out: Path, *, workers: int = 1, engine: dist.Engine = "local", per_frame: bool = False) -> Done:
    """Score a plan into `out`: scores.csv, clips.csv, summary.csv, frames.csv if `per_frame`, and rows/ to resume from.

    Rows are written as soon as a clip is done, in the plan's order, so that a stopped run that goes on leaves the same
    bytes as one that was not stopped. The number of workers and the engine change nothing either.
    """
    state = _State(plan, out, per_frame)
    todo = [job for job in map(state.remaining, plan.jobs) if job is not None]
    if engine == "ray":  # its workers stand in another folder
        todo = [_absolute(job) for job in todo]
    state.write()
    total = sum(map(_length, todo))
    unit = "frame" if all(job.lengths for job in todo) else "clip"
    with tqdm(total=total, desc=f"scoring {plan.method}", unit=unit, disable=None, dynamic_ncols=True) as progress:
        for number, answer in dist.run(clip.score, todo, workers=max(1, min(workers, len(todo))), engine=engine):
            job = todo[number]
            if isinstance(answer, dist.Lost):
                lost = Value(status="failed", reason=str(answer))
                answer = ClipScores(values=dict.fromkeys(job.measures, lost))
            state.add(job, answer)
            state.write()
            progress.update(_length(job))
    return state.done()


def preview(plan: Plan, out: Path) -> list[str]:
    """Return what a run would do, as text."""
    state = _State(plan, out, per_frame=False)
    remaining = [job for job in map(state.remaining, plan.jobs) if job is not None]
    left = sum(len(job.measures) for job in remaining)
    absent = [job.clip for job in plan.jobs if job.output is None]
    lines = [
        f"{plan.method} on {plan.card.name}: {len(plan.jobs)} clips ({plan.clips}), {len(plan.measures)} measures",
        f"{left} of {len(plan.jobs) * len(plan.measures)} values are to be measured; the others are in {out}",
    ]
    lines += [f"without an output: {', '.join(absent)}"] if absent else []
    return lines + [f"{name}: {listing.here(measures.find(name))}" for name in plan.measures]


class _State:
    """What is known so far, in memory and on disk."""

    def __init__(self, plan: Plan, out: Path, per_frame: bool) -> None:
        self.plan, self.out, self.per_frame = plan, out, per_frame
        self.store = Store(out / "rows")
        self.environment = fingerprint.environment(plan.device, plan.threads)
        self.protocol = fingerprint.protocol(plan.measures)
        self.found: dict[str, ClipScores] = {}
        self.hashes: dict[str, dict[str, str]] = {}

    def remaining(self, job: ClipJob) -> ClipJob | None:
        """Take from the store what was measured before, and return the job for the rest, None if there is none."""
        try:
            self.hashes[job.clip] = {name: content_sha256(path) if path else "" for name, path in _paths(job).items()}
        except OSError:  # it cannot be read, as its rows will say
            return job
        records = {name: self.store.get(self._key(job, name)) for name in job.measures}
        facts = self.store.get(self._key(job, "facts"))
        values = {name: _value(record) for name, record in records.items() if record is not None}
        if facts is None:
            return job
        self.found[job.clip] = ClipScores(facts=ClipFacts(**facts), values=values)
        left = tuple(name for name in job.measures if name not in values)
        return replace(job, measures=left) if left else None

    def add(self, job: ClipJob, answer: ClipScores) -> None:
        """Keep what a job found; what has no value is tried again by the next run."""
        before = self.found.get(job.clip, ClipScores())
        self.found[job.clip] = ClipScores(facts=answer.facts, values=before.values | answer.values)
        if job.clip not in self.hashes:
            return
        for name, value in answer.values.items():
            if value.status == "ok" and value.result is not None:
                self.store.put(self._key(job, name), asdict(value.result))
        if answer.facts.frames:
            self.store.put(self._key(job, "facts"), asdict(answer.facts))

    def write(self) -> None:
        """Write all that is known, each file whole."""
        self.out.mkdir(parents=True, exist_ok=True)
        scores = list(self.scores())
        results.write(self.out / "scores.csv", scores, self.fingerprint())
        summary.write(self.out / "summary.csv", self._means(scores))
        rows = [{"clip": name, **asdict(found.facts)} for name, found in self._ordered()]
        _write_table(self.out / "clips.csv", ("clip", *(field.name for field in fields(ClipFacts))), rows)
        if self.per_frame:
            columns = ("method", "dataset", "clip", "measure", "frame", "value")
            _write_table(self.out / "frames.csv", columns, list(self._frames()))

    def scores(self) -> Iterator[Score]:
        """Yield the rows that are known, in the order of the plan."""
        for name, found in self._ordered():
            for measure in self.plan.measures:
                if measure in found.values:
                    yield self._score(name, measure, found.facts, found.values[measure])

    def fingerprint(self) -> dict[str, Any]:
        """Return what the values were measured with."""
        return {
            "method": self.plan.method,
            "dataset": self.plan.card.name,
            "card_sha256": self.plan.card_sha256,
            "clips": self.plan.clips,
            "lq_sha256": {name: found.facts.lq_sha256 for name, found in self._ordered() if found.facts.lq_sha256},
            "environment": self.environment,
            **self.protocol,
        }

    def done(self) -> Done:
        """Return what to tell the user."""
        scores = list(self.scores())
        names = ["scores.csv", "summary.csv", "clips.csv"] + ["frames.csv"] * self.per_frame
        return Done(
            lines=tuple(summary.lines(self._means(scores))),
            paths=tuple(self.out / name for name in names),
            complete=all(score.status == "ok" for score in scores),
        )

    def _means(self, scores: list[Score]) -> list[summary.Mean]:
        profile = self.plan.profile
        found = summary.means(scores, profile.clip_digits if profile else None)
        return [replace(mean, n_expected=len(self.plan.jobs)) for mean in found]

    def _ordered(self) -> Iterator[tuple[str, ClipScores]]:
        return ((job.clip, self.found[job.clip]) for job in self.plan.jobs if job.clip in self.found)

    def _score(self, name: str, measure: str, facts: ClipFacts, value: Value) -> Score:
        return Score(
            method=self.plan.method,
            dataset=self.plan.card.name,
            clip=name,
            measure=measure,
            version=measures.find(measure).version,
            status=value.status,
            value=value.result.value if value.result else None,
            frames=len(value.result.series) if value.result else 0,
            align=self.plan.jobs[0].policy,
            output_sha256=facts.output_sha256,
            reference_sha256=facts.reference_sha256,
            reason=value.reason,
        )

    def _frames(self) -> Iterator[dict[str, object]]:
        for name, found in self._ordered():
            for measure in self.plan.measures:
                result = found.values[measure].result if measure in found.values else None
                for frame, value in zip(result.numbers, result.series, strict=True) if result else ():
                    head = {"method": self.plan.method, "dataset": self.plan.card.name, "clip": name, "measure": measure}
                    yield {**head, "frame": frame, "value": repr(value)}

    def _key(self, job: ClipJob, name: str) -> str:
        """Return the name of a record: everything that its value depends on."""
        known = name != "facts"
        measure = measures.find(name) if known else None
        return key(
            measure=name,
            version=measure.version if measure else 1,
            weights={weight: self.protocol["weights"][weight] for weight in measure.weights} if measure else {},
            clip=job.clip,
            policy=job.policy,
            hashes=self.hashes[job.clip],
            rendered=job.rendered,
            native=job.native,
            scale=job.scale,
            environment=self.environment,
        )


def _length(job: ClipJob) -> int:
    """Return about how many frames a clip has, 1 where that is not known, to show progress."""
    return max(job.lengths, default=1)


def _absolute(job: ClipJob) -> ClipJob:
    paths = {name: None if path is None else path.absolute() for name, path in _paths(job).items()}
    return replace(job, output=paths["output"], reference=paths["reference"], lq=paths["lq"])


def _paths(job: ClipJob) -> dict[str, Path | None]:
    return {"output": job.output, "reference": job.reference, "lq": job.lq}


def _value(record: dict[str, Any]) -> Value:
    result = Result(value=record["value"], series=tuple(record["series"]), numbers=tuple(record["numbers"]))
    return Value(status="ok", result=result)


def _write_table(path: Path, columns: tuple[str, ...], rows: list[dict[str, object]]) -> None:
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    files.write_text(path, text.getvalue())
