"""What is wrong with a copy of a test set: which clip or frame is missing, extra, damaged or of another size."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from oasis.cards import DatasetCard
from oasis.data import layout
from oasis.data.layout import Found, Role
from oasis.data.stored import Kind, Stored, look


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is wrong; `clip` is empty where it concerns the whole folder, `message` says what was found where."""

    role: Role
    clip: str
    kind: Kind
    message: str


def check(card: DatasetCard, root: Path, role: Role | None = None) -> list[Finding]:
    """Return what is wrong with the clips of a card below `root`, by role and clip; nothing is wrong with an empty list.

    Without `role`, ground truth and LQ are looked for in all layouts of the card; a folder that holds nothing but clips is
    taken for ground truth where the card has one, else for LQ. Files are read as `stored.look` says. FileNotFoundError if
    there is no such folder, ValueError if a clip is there twice.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder")
    findings: list[Finding] = []
    copies: dict[Role, list[dict[str, Stored]]] = {"gt": [], "lq": [], "outputs": []}
    for each in (role,) if role else _roles(card, root):
        try:
            fitting = layout.find_all(card, root, each)
        except FileNotFoundError as error:
            findings.append(Finding(role=each, clip="", kind="missing", message=str(error)))
            continue
        for found in fitting:
            clips = {name: look(path) for name, path in found.clips.items()}
            findings += _alone(card, root, each, found, clips)
            copies[each].append(clips)
    known = {(finding.clip, finding.kind) for finding in findings}
    pairs = (finding for gt in copies["gt"] for lq in copies["lq"] for finding in _pairs(card, gt, lq))
    return [*findings, *(finding for finding in pairs if (finding.clip, finding.kind) not in known)]


def _roles(card: DatasetCard, root: Path) -> list[Role]:
    if not card.has_gt:
        return ["lq"]
    try:
        layouts = [found.layout for found in layout.find_all(card, root, "gt")]
    except FileNotFoundError:
        return ["gt", "lq"]
    return ["gt", "lq"] if any(each and each.lq for each in layouts) else ["gt"]


def _alone(card: DatasetCard, root: Path, role: Role, found: Found, clips: dict[str, Stored]) -> list[Finding]:
    """Return what is wrong with one copy of the clips, in itself and against the card."""
    findings = list(_missing_and_extra(card, root, role, found))
    for name, clip in clips.items():
        wrong = _against(card, role, name, clip)
        findings += (Finding(role=role, clip=name, kind=kind, message=message) for kind, message in wrong)
    total = sum(clip.frames for clip in clips.values())
    explained = any(finding.kind != "size" for finding in findings)
    if card.clips.total_frames and total != card.clips.total_frames and not explained:
        message = f"{root}: {total} frames at {found.place}, the card says {card.clips.total_frames}{_doubt(card, 'clips')}"
        findings.append(Finding(role=role, clip="", kind="frames", message=message))
    return findings


def _missing_and_extra(card: DatasetCard, root: Path, role: Role, found: Found) -> Iterator[Finding]:
    for name in found.missing:
        place = root / found.place.format(clip=name)
        message = f"{place}: a folder without PNG" if place.is_dir() else f"{place}: no such folder, and no video of that name"
        yield Finding(role=role, clip=name, kind="missing", message=message)
    for name, path in found.extra.items():
        yield Finding(role=role, clip=name, kind="extra", message=f"{path}: {card.name} has no such clip")
    if card.clips.names is None and len(found.clips) != card.clips.count:
        kind: Kind = "missing" if len(found.clips) < card.clips.count else "extra"
        message = f"{root}: {len(found.clips)} clips at {found.place}, the card says {card.clips.count}{_doubt(card, 'clips')}"
        yield Finding(role=role, clip="", kind=kind, message=message)


def _against(card: DatasetCard, role: Role, name: str, clip: Stored) -> Iterator[tuple[Kind, str]]:
    """Yield what is wrong with a clip in itself, and where it differs from the card."""
    yield from clip.wrong
    lengths = card.clips.lengths(name)
    if clip.frames and lengths and clip.frames + clip.gaps not in lengths:
        said = " or ".join(map(str, lengths))
        yield "frames", f"{clip.path}: {clip.frames} frames, the card says {said}{_doubt(card, 'clips')}"
    field: Literal["hr_size", "lr_size"] = "lr_size" if role == "lq" else "hr_size"
    wanted = card.size(field, name)
    if wanted and clip.sizes and clip.sizes[0] != wanted:
        yield "size", f"{clip.path}: frames of {clip.sizes[0]}, the card says {wanted}{_doubt(card, field)}"


def _pairs(card: DatasetCard, gt: dict[str, Stored], lq: dict[str, Stored]) -> Iterator[Finding]:
    """Yield LQ clips that do not fit their ground truth in this very copy, whatever the card says."""
    for name, clip in lq.items():
        other = gt.get(name)
        if other and clip.frames and other.frames and clip.frames != other.frames:
            message = f"{clip.path}: {clip.frames} frames, its ground truth has {other.frames}"
            yield Finding(role="lq", clip=name, kind="frames", message=message)
        if other and clip.sizes and other.sizes and card.scale:
            (width, height), scale = clip.sizes[0], card.scale
            if other.sizes[0] != (width * scale, height * scale):
                message = (
                    f"{clip.path}: frames of {clip.sizes[0]}, x{scale} of that is not the {other.sizes[0]} of its ground truth"
                )
                yield Finding(role="lq", clip=name, kind="size", message=message)


def _doubt(card: DatasetCard, field: str) -> str:
    return " (unconfirmed)" if field in card.uncertain else ""
