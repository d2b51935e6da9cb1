"""A file becomes a larger file: in segments that are kept, so that a run that was stopped goes on where it was."""

import contextlib
import json
import resource
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import oasis
from oasis import files
from oasis.attention import sdpa
from oasis.model import Loaded, fp8
from oasis.model.oasis import Oasis
from oasis.upscale.job import Job
from oasis.upscale.kernels import fastest
from oasis.upscale.parts import Parts
from oasis.upscale.plan import Plan
from oasis.upscale.ranks import ALONE, Ranks
from oasis.upscale.work import Work
from oasis.video.target import join

FORMAT = 2


@dataclass(frozen=True, kw_only=True)
class Done:
    """The record of a finished clip, and whether it was made now or had been before."""

    record: dict[str, Any]
    new: bool


def run(
    loaded: Loaded,
    job: Job,
    *,
    ranks: Ranks = ALONE,
    tick: Callable[[int], Any] = lambda count: None,
    say: Callable[[str], Any] = lambda text: None,
) -> Done | None:
    """Write the larger clip and then its record, each whole or not at all, unless both are there already.

    Finished segments stay in a folder beside the output until all are joined; a run of the same settings goes on from them
    and gives the same bytes. Of several processes each makes every n-th segment, or all make every segment together (then
    `loaded.model` is spread over them, see `model.context`); the first joins them, the others return None. Out of memory, a
    segment is made again in smaller tiles, and so are those after it: said and recorded. On CUDA the first process times the
    dense attention backends before the first tile, once for all processes and however often the run is stopped.

    `tick` is told of finished frames, `say` what the user should know. ValueError if the clip is damaged, the network's
    output is no picture, or other settings left their segments.
    """
    settings = _settings(loaded, job) | ({"context": ranks.world} if ranks.together else {})
    done = _there(job, settings)
    if done is not None:
        return done if ranks.first else None
    parts = Parts.beside(job.out)
    parts.folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as held:
        if ranks.first:  # the folder is one process's to lock and to remove
            held.enter_context(files.alone(parts.folder))
            held.enter_context(parts.kept(say))
            parts.agree(settings)
            parts.choose(lambda: fastest(loaded.model, job))
        ranks.wait()
        with sdpa.using(parts.kernels()):
            return _made(loaded.model, job, settings, parts, ranks, tick, say)


def _made(
    model: Oasis,
    job: Job,
    settings: dict[str, Any],
    parts: Parts,
    ranks: Ranks,
    tick: Callable[[int], Any],
    say: Callable[[str], Any],
) -> Done | None:
    start, plan = time.monotonic(), Plan(job)
    work = Work(model, job, parts, ranks, tick, say)
    ranks.wait()  # all have seen the same finished segments
    count = work.run(plan.segments())
    ranks.wait()
    if not ranks.first:
        return None
    job.record.unlink(missing_ok=True)  # a record never stands beside what it does not describe
    # A file is joined among the parts, so that a process that is killed meanwhile leaves nothing beside the output.
    joined = parts.folder / f"joined{job.out.suffix}" if job.out.suffix else job.out
    join(joined, [parts.path(number) for number in range(count)], job.target, job.source, plan.times, streams=job.streams)
    joined.replace(job.out)
    record = settings | {
        "frames": len(plan.times),
        "scenes": plan.scenes,
        "kernels": {pattern.name: name for pattern, name in parts.kernels().items()},
        "tiles": list(dict.fromkeys(note["tile"] for note in parts.notes().values())),
        "seconds": round(time.monotonic() - start, 3),
        "peak_mib": _peak_mib(model.prompt.device),
        "output_sha256": _sha256(job.out),
    }
    files.write_text(job.record, json.dumps(record, indent=1, allow_nan=False) + "\n")
    parts.remove()
    return Done(record=record, new=True)


def _settings(loaded: Loaded, job: Job) -> dict[str, Any]:
    """Return all that decides the output, as JSON holds it."""
    model = loaded.model
    settings = {
        "format": FORMAT,
        "source": job.source.path.name,
        "source_sha256": _sha256(job.source.path),
        "model": model.config.name,
        "weights_sha256": loaded.weights_sha256,
        "heads": [", ".join(pattern.name for pattern in layer) for layer in model.dit.patterns],
        "backend": model.dit.backend,
        "decoder_tiles": model.decoder_tiles and model.decoder_tiles._asdict(),
        "fp8": fp8.used(model),
        "graph": model.graphed is not None,
        "dtype": str(model.prompt.dtype).removeprefix("torch."),
        "device": _device(model.prompt.device),
        "scale": job.scale,
        "tile": str(job.tiling),
        "overlap": [job.tiling.overlap_frames, job.tiling.overlap],
        "find_cuts": job.find_cuts,
        "limit": job.frames,
        "streams": job.streams,
        "target": asdict(job.target),
        "versions": {"oasis": oasis.__version__, "torch": torch.__version__, "av": version("av")},
    }
    return json.loads(json.dumps(settings, default=str))


def _there(job: Job, settings: dict[str, Any]) -> Done | None:
    """Return the record of an output that these settings have made before."""
    if not (job.record.exists() and job.out.exists()):
        return None
    try:
        record = json.loads(job.record.read_text(encoding="utf-8"))
        same = all(record.get(name) == value for name, value in settings.items())
    except (ValueError, AttributeError):
        return None  # somebody else's file of that name; it is replaced like the output
    return Done(record=record, new=False) if same and record.get("output_sha256") == _sha256(job.out) else None


def _sha256(path: Path) -> str:
    """Return the hash of a file, or of the files of a folder of PNG in their order."""
    if path.is_file():
        return files.sha256(path)
    return files.sha256_of_text("".join(f"{each.name} {files.sha256(each)}\n" for each in sorted(path.glob("*.png"))))


def _device(device: torch.device) -> str:
    return f"cuda: {torch.cuda.get_device_name(device)}" if device.type == "cuda" else device.type


def _peak_mib(device: torch.device) -> dict[str, float]:
    """Return the most memory that this process held so far, and on CUDA torch's allocator."""
    peaks = {"host": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    if device.type == "cuda":
        peaks["device"] = torch.cuda.max_memory_allocated(device) / 2**20
    return peaks
