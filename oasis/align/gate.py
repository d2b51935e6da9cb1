"""The gate before any number: whether a finding allows two clips to be compared under the stated policy.

The limits lie between what 27 pairs of public outputs show (web encodes, whole clips; 11 against a ground truth, 16 against
a low-quality input) and what is wrong with some of them:

    measured, largest        ground truth     input                       wrong                          limit
    shift                    0.05 px          0.75 px (STAR)              crops of 6 to 32 px            0.2, 1.0
    drift to the borders     0.05 px          0.61 px (SeedVR2-7B)        1.45 to 1.52 (align_corners)   0.3, 1.0
    scatter                  0.10 px          0.40 px (SeedVR)            0.72 px (VEnhancer)            0.5
    gain, from 1             0.02             0.19 (FlashVSR)             0.14 to 0.16 (range)           0.1, 0.6
    offset                   2.5              9.0                         -                              10, 40
    share of a matrix mix-up 0.09             1.2 (so not judged)         0.8 to 1.1 (mixed on purpose)  0.6
    lag, second best / best  2.6 (smallest)   1.1 (spmcs STAR: not told)  -                              1.2
"""

import math
import shlex
from dataclasses import dataclass, replace

from oasis.align.colour import Colour
from oasis.align.finding import Finding
from oasis.align.inspection import Opened, inspect, opened
from oasis.align.policy import NONE, Crop, Frames, Policy, Resize, Shift
from oasis.align.registration import WHOLE, Place

__all__ = [
    "DEGRADED",
    "EXACT",
    "Finding",
    "Limits",
    "Mismatch",
    "Opened",
    "advise",
    "inspect",
    "judge",
    "mismatches",
    "opened",
]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What may be measured without being a mismatch: pixels, a ratio of contrasts, grey levels."""

    shift: float
    drift: float
    gain: float
    offset: float


EXACT = Limits(shift=0.2, drift=0.3, gain=1.1, offset=10.0)
"""Against a ground truth."""
DEGRADED = Limits(shift=1.0, drift=1.0, gain=1.6, offset=40.0)
"""Against a low-quality input, which carries blur, noise and a phase of its own, and whose contrast methods restore."""


class Mismatch(ValueError):
    """Clips cannot be compared under the stated policy; the message says what was found and which policy would help."""


def judge(found: Finding, policy: Policy) -> None:
    """Raise Mismatch unless the clips agree or `policy` states how they differ."""
    problems = mismatches(found, policy)
    if problems:
        given = "" if policy == NONE else f" (not settled by --align {shlex.quote(str(policy))})"
        advised = advise(found)
        remedy = f"--align {shlex.quote(str(advised))}" if advised else "the pictures do not tell which --align would help"
        raise Mismatch(f"{'; '.join(problems)}{given}: {remedy}")


def mismatches(found: Finding, policy: Policy) -> list[str]:
    """Return what of the finding `policy` does not settle, in words; empty if the clips can be compared."""
    if policy.unregistered:
        return []
    problems, reference = [], found.reference
    if found.output.frames != reference.frames and not policy.frames:
        problems.append(f"the output has {found.output.frames} frames, the reference {reference.frames}")
        reference = replace(reference, frames=found.output.frames)
    try:
        policy.fit(found.output, reference)
    except ValueError as error:
        problems.append(str(error))
    if policy.as_is:
        return problems
    where = found.where
    if where and (problems or _misplaced(found, policy)):
        problems.append(where)
    start = policy.frames.start if policy.frames else 0
    if found.lag not in (None, start):
        problems.append(f"output frame i shows reference frame i{found.lag:+d}")
    if found.colour and _discoloured(found.colour, _limits(found)):
        problems.append(str(found.colour))
    return problems


def advise(found: Finding) -> Policy | None:
    """Return the policy that makes the clips comparable, None if the pictures do not tell."""
    if found.place and not found.registered:
        return Policy(unregistered=True)
    policy = Policy(frames=_frames(found))
    if found.resized:
        policy = replace(policy, resize=Resize(width=found.reference.width, height=found.reference.height))
    elif found.place:
        policy = _offset(policy, found, found.place)
    if mismatches(found, policy):
        policy = replace(policy, as_is=True)
    return None if mismatches(found, policy) else policy


def _limits(found: Finding) -> Limits:
    return DEGRADED if found.degraded else EXACT


def _misplaced(found: Finding, policy: Policy) -> bool:
    place, limits = found.place, _limits(found)
    if place is None:
        return False
    if not found.registered or found.resized != bool(policy.resize):
        return True
    crop, shift = policy.crop or Crop(), policy.shift or Shift()
    # What is within three standard errors is no evidence against a policy; the error of a slope is about twice as large.
    noise = 3 * place.scatter / math.sqrt(place.matched)
    largest = limits.shift * max(1, WHOLE / min(found.output.height, found.output.width))
    off = max(abs(place.x - crop.left - shift.x), abs(place.y - crop.top - shift.y))
    drift = max(abs(place.drift_x), abs(place.drift_y))
    return off > max(largest, noise) or drift > max(limits.drift, 2 * noise)


def _discoloured(found: Colour, limits: Limits) -> bool:
    strong = any(not 1 / limits.gain <= gain <= limits.gain for gain in found.gain)
    return found.mistake is not None or strong or any(abs(offset) > limits.offset for offset in found.offset)


def _offset(policy: Policy, found: Finding, place: Place) -> Policy:
    output, reference = found.output, found.reference
    left = _whole(place.x, reference.width - output.width, found)
    top = _whole(place.y, reference.height - output.height, found)
    if (left, top, output.width, output.height) == (0, 0, reference.width, reference.height):
        return policy
    inside = 0 <= left <= reference.width - output.width and 0 <= top <= reference.height - output.height
    if inside:
        return replace(policy, crop=Crop(left=left, top=top, width=output.width, height=output.height))
    return replace(policy, shift=Shift(x=left, y=top))


def _whole(measured: float, spare: int, found: Finding) -> int:
    """Return the offset in whole pixels; against a degraded reference a customary one (start, centre, end) if it is near."""
    customary = min((0, spare // 2, spare), key=lambda offset: abs(measured - offset))
    near = found.degraded and abs(measured - customary) <= _limits(found).shift
    return customary if near else round(measured)


def _frames(found: Finding) -> Frames | None:
    start = found.lag or 0
    outputs, references = found.output.frames, found.reference.frames
    if not start and outputs == references:
        return None
    return Frames(start=start, count=min(outputs - max(0, -start), references - max(0, start)))
