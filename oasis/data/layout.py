"""Where the clips of a test set lie in a folder."""

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from oasis import video
from oasis.cards import Clips, DatasetCard, Layout

Role = Literal["gt", "lq", "outputs"]
PLAIN = "{clip}"


@dataclass(frozen=True, kw_only=True)
class Found:
    """Clips in a folder, by name: video files (`oasis.video.SUFFIXES`) or folders of PNG.

    `place` is the pattern that they lie at and `layout` the one of the card, None for the plain one. `missing` are names of
    the card that are not there, `extra` clips that the card does not have.
    """

    clips: dict[str, Path]
    missing: tuple[str, ...]
    extra: dict[str, Path]
    place: str
    layout: Layout | None


def find(card: DatasetCard, root: Path, role: Role) -> Found:
    """Return the clips of a card below `root`: in the card's layouts for `role`, or plainly as root/CLIP or root/CLIP.mkv.

    FileNotFoundError if there is no folder, or none of the clips in it; ValueError if a clip is there twice, or if several
    layouts fit that hold different files.
    """
    fitting = find_all(card, root, role)
    if len(fitting) > 1:
        places = " and at ".join(found.place for found in fitting)
        raise ValueError(f"{root}: clips of {card.name} lie at {places}; give the folder that is meant")
    return fitting[0]


def find_all(card: DatasetCard, root: Path, role: Role) -> list[Found]:
    """Return what `find` chooses from: the clips in every layout that fits, at least one; errors as there."""
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder")
    if role == "gt" and not card.has_gt:
        raise ValueError(f"{root}: {card.name} has no ground truth")
    tried = _candidates(card, role)
    fitting: list[Found] = []
    for layout, alternatives in tried:
        for names in _names(card, layout):
            found = next(filter(None, (_match(root, place, names, layout) for place in alternatives)), None)
            if found and all(found.clips != other.clips for other in fitting):
                fitting.append(found)
    if not fitting:
        places = dict.fromkeys(itertools.chain.from_iterable(alternatives for _, alternatives in tried))
        held = _few([entry.name for entry in entries(root)]) or " nothing"
        raise FileNotFoundError(
            f"{root}: none of the {card.clips.count} clips of {card.name}{_few(card.clips.names or ())} is there; "
            f"looked for folders of PNG and videos at {', '.join(places)}; the folder holds{held}"
        )
    return fitting


def folder_card(name: str, root: Path, *, has_gt: bool = True) -> DatasetCard:
    """Return a card for any folder of clips, whose names it takes; sizes and frames are not known.

    FileNotFoundError if there is no such folder or no clip in it, ValueError if a clip is there twice.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder")
    clips = _listed(root, PLAIN)
    if not clips:
        raise FileNotFoundError(f"{root}: no clips; looked for {', '.join(video.SUFFIXES)} and folders of *.png")
    return DatasetCard(
        name=name,
        title=name,
        aliases=(),
        task="own",
        has_gt=has_gt,
        scale=None,
        clips=Clips(names=tuple(clips), count=len(clips), frames=(), total_frames=None),
        frame_name=None,
        hr_size=None,
        lr_size=None,
        layouts=(),
        lq_recipe="not stated",
        source="a folder of clips",
        licence="not stated",
        protocol_classic={},
        anchors=(),
        traps=(),
        sha256={},
        uncertain=(),
    )


def entries(folder: Path) -> list[Path]:
    """Return what a folder holds, sorted, without hidden files and those that Windows leaves everywhere."""
    ignored = ("thumbs.db", "desktop.ini")
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith(".") and entry.name.lower() not in ignored)


def _candidates(card: DatasetCard, role: Role) -> list[tuple[Layout | None, tuple[str, ...]]]:
    """Return layouts with their places for `role`, the plain one last."""
    if role == "outputs":
        return [(None, (PLAIN,))]
    places = [(layout, layout.gt if role == "gt" else layout.lq) for layout in card.layouts]
    return [*places, (None, (PLAIN,))]


def _names(card: DatasetCard, layout: Layout | None) -> list[tuple[str, ...] | None]:
    """Return the names that clips may have in a layout: those of the card, or, plainly, also those of its layouts."""
    if layout is not None:
        return [layout.names or card.clips.names]
    return [card.clips.names, *(each.names for each in card.layouts if each.names)]


def _match(root: Path, place: str, names: tuple[str, ...] | None, layout: Layout | None) -> Found | None:
    listed = _listed(root, place, names)
    clips = {name: listed[name] for name in names or listed if name in listed}
    if not clips:
        return None
    others = {} if layout and layout.with_others else {name: path for name, path in listed.items() if name not in clips}
    missing = tuple(name for name in names or () if name not in listed)
    return Found(clips=clips, missing=missing, extra=others, place=place, layout=layout)


def _listed(root: Path, place: str, names: tuple[str, ...] | None = None) -> dict[str, Path]:
    """Return all clips at a place by name; ValueError if one of `names`, by default any, is there twice."""
    head, _, tail = place.partition("{clip}")
    base, below = root / head, tail.strip("/")
    found: dict[str, Path] = {}
    for entry in entries(base) if base.is_dir() else []:
        path = entry / below
        if not _is_clip(path):
            continue
        name = entry.name if path.is_dir() else entry.stem
        if name in found and (names is None or name in names):
            raise ValueError(f"{base}: {found[name].name} and {path.name} would both be the clip {name!r}")
        found[name] = path
    return found


def _is_clip(path: Path) -> bool:
    if not path.is_dir():
        return path.is_file() and path.suffix.lower() in video.SUFFIXES
    try:
        with os.scandir(path) as inside:
            return any(entry.name.lower().endswith(".png") for entry in inside)
    except PermissionError:
        return True  # so that it fails under its name where it is read, and is not passed over here


def _few(names: Sequence[str]) -> str:
    more = ", ..." if len(names) > 6 else ""
    return f" ({', '.join(names[:6])}{more})" if names else ""
