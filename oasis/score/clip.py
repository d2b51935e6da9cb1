"""Score one clip: the gate first, then every frame once, through all measures at the same time."""

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import torch
from jaxtyping import UInt8
from numpy import ndarray
from tqdm import tqdm

from oasis import cuts, measures, metrics, video
from oasis.align import gate, policy
from oasis.align.policy import Fit, Policy, Size
from oasis.data import builtin
from oasis.data.hashes import Hashed
from oasis.metrics.frames import Frame
from oasis.metrics.meter import Result, Setting, TrueFlow, Unavailable
from oasis.score.job import ClipFacts, ClipJob, ClipScores, Value


def score(job: ClipJob) -> ClipScores:
    """Return all values of a clip; whatever goes wrong becomes the reason of rows without a value, never an exception."""
    torch.set_num_threads(job.threads)  # more threads add up in another order
    cv2.setNumThreads(job.threads)
    try:
        return _score(job)
    except Exception as error:  # the one place where a clip's trouble, of any kind, must not take the other clips with it
        return ClipScores(values={name: _missing(error) for name in job.measures})


@dataclass(frozen=True, kw_only=True)
class _Reference:
    """The ground truth of a clip, which can be decoded again and again; motion and cuts where they are known."""

    opened: gate.Opened
    cuts: tuple[int, ...] | None = None
    true_flow: TrueFlow | None = None


def _score(job: ClipJob) -> ClipScores:
    if job.output is None:
        raise ValueError("there is no output for this clip")
    reference = _reference(job)
    allowed = policy.parse(job.policy)
    opened = functools.partial(video.arrays, job.output)
    sizes, alignment = _gate(job, opened, reference, allowed)
    fit = allowed.fit(*sizes) if reference else Policy(unregistered=True).fit(*sizes)
    about = video.info(job.output)
    whole = not (allowed.crop or allowed.shift or allowed.frames or allowed.resize)
    setting = Setting(
        clip=job.clip,
        frames=len(fit.output_frames),
        height=fit.height,
        width=fit.width,
        fps=about.fps,
        cuts=_cuts(job, opened, reference, fit),
        true_flow=reference.true_flow if reference and whole else None,
        device=job.device,
    )
    without = "the policy is unregistered" if reference and fit.seen is None else None if reference else "--gt was not given"
    values, hashes = _measure(job, opened, reference, fit, setting, without)
    facts = ClipFacts(
        frames=sizes[0].frames,
        size=f"{sizes[0].width}x{sizes[0].height}",
        decoder=about.decoder,
        rate=_rate(about),
        output_sha256=hashes[0],
        reference_sha256=hashes[1],
        lq_sha256=_sha256(video.arrays(job.lq)) if job.lq else "",
        alignment=alignment,
    )
    return ClipScores(facts=facts, values=values)


def _reference(job: ClipJob) -> _Reference | None:
    if not job.has_reference:
        return None
    if job.reference is not None:
        return _Reference(opened=functools.partial(video.arrays, job.reference))
    if not job.rendered:
        raise ValueError("there is no ground truth for this clip")
    clip = builtin.make(job.clip)
    return _Reference(opened=lambda: iter(clip.hr), cuts=tuple(clip.cut), true_flow=lambda t: (clip.flow[t], clip.occluded[t]))


def _gate(job: ClipJob, opened: gate.Opened, reference: _Reference | None, allowed: Policy) -> tuple[tuple[Size, Size], str]:
    """Return both sizes and what was found; raise `gate.Mismatch` if `allowed` does not cover it."""
    if reference is None and job.lq is None:
        size = _size(opened())
        _whole(job, "the output", size.frames)
        return (size, size), "not checked: neither --gt nor --lq was given"
    if reference is not None:
        found = gate.inspect(opened, reference.opened)
    else:
        assert job.lq is not None
        found = gate.inspect(opened, functools.partial(video.arrays, job.lq), degraded=True, scale=job.scale, native=job.native)
    if not allowed.frames:
        part = f"frames:start=0,count={min(found.output.frames, found.reference.frames)}"
        _whole(job, "the reference", found.reference.frames, f": a part is compared with --align {part}")
    gate.judge(found, allowed)
    return (found.output, found.reference), str(found)


def _whole(job: ClipJob, which: str, frames: int, remedy: str = "") -> None:
    """Refuse a clip that is shorter or longer than its data set says, even if its counterpart is, too."""
    if job.lengths and frames not in job.lengths:
        said = " or ".join(map(str, job.lengths))
        raise ValueError(f"{which} has {frames} frames, the data set says {said} (`oasis datasets check` says more){remedy}")


def _cuts(job: ClipJob, opened: gate.Opened, reference: _Reference | None, fit: Fit) -> tuple[int, ...]:
    """Return the frames, counted within what is compared, that start a scene; looked for only where a measure asks."""
    if reference and reference.cuts is not None:
        found, first = reference.cuts, fit.reference_frames.start
    elif "boundary@cut" in job.measures:
        seen = reference is not None and fit.seen is not None
        first = fit.reference_frames.start if seen else fit.output_frames.start
        found = cuts.find(reference.opened() if reference and seen else opened())
    else:
        return ()
    return tuple(number - first for number in found if 0 < number - first < len(fit.output_frames))


def _measure(
    job: ClipJob, opened: gate.Opened, reference: _Reference | None, fit: Fit, setting: Setting, without: str | None
) -> tuple[dict[str, Value], tuple[str, str]]:
    """Return values by measure, and the hashes of all decoded pixels."""
    blind = [name for name in job.measures if without and measures.find(name).needs != "nothing"]
    values = {name: Value(status="unavailable", reason=f"it needs a reference, and {without}") for name in blind}
    groups, refused = metrics.meters([name for name in job.measures if name not in values], setting)
    values |= {name: _missing(error) for name, error in refused.items()}
    outputs, references = Hashed(opened()), Hashed(reference.opened()) if reference else None
    progress = tqdm(total=setting.frames, desc=job.clip, unit="frame", leave=False, delay=2, disable=None)
    with progress:
        for output, seen in _pairs(outputs, references, fit):
            pair = Frame(output), None if seen is None else Frame(seen)
            groups = [group for group in groups if _added(group, pair, values)]
            progress.update()
    for group in groups:
        values |= _results(group)
    return values, (outputs.content().sha256, references.content().sha256 if references else "")


def _pairs(
    outputs: Hashed, references: Hashed | None, fit: Fit
) -> Iterator[tuple[UInt8[ndarray, "h w 3"], UInt8[ndarray, "h w 3"] | None]]:
    """Yield what is compared of each frame; every frame of both clips is decoded to the end, so that all is hashed."""
    shown = (fit.output(frame) for number, frame in enumerate(outputs) if number in fit.output_frames)
    if references is None:
        yield from ((frame, None) for frame in shown)
    elif fit.seen is None:
        yield from ((frame, None) for frame in shown)
        for _ in references:
            pass
    else:
        seen = (fit.reference(frame) for number, frame in enumerate(references) if number in fit.reference_frames)
        yield from zip(shown, seen, strict=True)


def _added(group: metrics.Group, pair: tuple[Frame, Frame | None], values: dict[str, Value]) -> bool:
    """Give a frame to a meter; if it fails, its measures have failed, and the others go on."""
    try:
        group.meter.add(*pair)
    except Exception as error:  # of networks and libraries under them, which raise what they like
        values |= {name: _missing(error) for name in group.names}
        return False
    return True


def _results(group: metrics.Group) -> dict[str, Value]:
    try:
        results = group.meter.result()
        return {name: Value(status="ok", result=_number(name, results[name])) for name in group.names}
    except Exception as error:  # as in `_added`
        return {name: _missing(error) for name in group.names}


def _number(name: str, result: Result) -> Result:
    if math.isnan(result.value):
        raise ValueError(f"{name} is not a number")
    return result


def _missing(error: Exception) -> Value:
    known = isinstance(error, Unavailable | ValueError | OSError)
    text = str(error) if known and str(error) else f"{type(error).__name__}: {error}"
    return Value(status="unavailable" if isinstance(error, Unavailable) else "failed", reason=" ".join(text.split()))


def _size(frames: Iterator[UInt8[ndarray, "h w 3"]]) -> Size:
    number, shape = 0, (0, 0, 0)
    for number, frame in enumerate(frames, start=1):  # noqa: B007 - the last number is the count
        shape = frame.shape
    return Size(frames=number, height=shape[0], width=shape[1])


def _rate(about: video.Info) -> str:
    notes = ["" if about.constant_rate else "the mean of a variable rate", "interlaced" if about.interlaced else ""]
    return "; ".join(filter(None, [str(about.fps), *notes]))


def _sha256(frames: Iterator[UInt8[ndarray, "h w 3"]]) -> str:
    hashed = Hashed(frames)
    for _ in hashed:
        pass
    return hashed.content().sha256
