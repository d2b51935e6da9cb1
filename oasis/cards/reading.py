"""A card from a YAML file, or one sentence about the first field that does not fit."""

import re
from collections.abc import Hashable
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import yaml

from oasis.cards.card import Anchor, Clips, DatasetCard, Layout, Size, Task
from oasis.cards.fields import Field

FROM_FOLDER = "from the folder"


def read(path: Path) -> DatasetCard:
    """Read a card; FileNotFoundError or ValueError with the path, the field, its value and what is allowed."""
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not a YAML text file ({' '.join(str(error).split())})") from error
    try:
        return _card(Field("", data))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


class _Loader(yaml.SafeLoader):
    """YAML without tags that run code, and without keys that silently replace others."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key.value!r} is there twice", key.start_mark)
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else id(key))
        return super().construct_mapping(node, deep)


def _card(whole: Field) -> DatasetCard:
    names = tuple(field.name for field in fields(DatasetCard))
    of = whole.record(names)
    if of["task"].value not in get_args(Task):
        of["task"].refuse(", ".join(get_args(Task)))
    known = tuple(name for name in names if name not in ("name", "uncertain"))
    for field in of["uncertain"].items():
        if field.value not in known:
            field.refuse(f"one of {', '.join(known)}")
    clips = _clips(of["clips"])
    card = DatasetCard(
        name=of["name"].text(r"[a-z0-9][a-z0-9_-]*", "lower-case letters, digits, - and _"),
        title=of["title"].text(),
        aliases=of["aliases"].texts(),
        task=of["task"].value,
        has_gt=of["has_gt"].boolean(),
        scale=None if of["scale"].value is None else of["scale"].whole(),
        clips=clips,
        frame_name=None if of["frame_name"].value is None else _frame_name(of["frame_name"]),
        hr_size=_sizes(of["hr_size"], clips),
        lr_size=_sizes(of["lr_size"], clips),
        layouts=tuple(_layout(item, clips) for item in of["layouts"].items()),
        lq_recipe=of["lq_recipe"].text(),
        source=of["source"].text(),
        licence=of["licence"].text(),
        protocol_classic={key: item.text() for key, item in of["protocol_classic"].mapping().items()},
        anchors=tuple(_anchor(item) for item in of["anchors"].items()),
        traps=of["traps"].texts(),
        sha256={
            key: item.text("[0-9a-f]{64}", "64 hexadecimal digits in lower case")
            for key, item in of["sha256"].mapping().items()
        },
        uncertain=of["uncertain"].texts(),
    )
    _check_ground_truth(card, of)
    _check_scale(card, of["lr_size"])
    return card


def _clips(value: Field) -> Clips:
    of = value.record(("names", "count", "frames", "total_frames"))
    names = None if of["names"].value == FROM_FOLDER else _clip_names(of["names"])
    count = of["count"].whole()
    if names is not None and count != len(names):
        of["count"].refuse(f"{len(names)}, the number of names")
    frames = _frames(of["frames"], names)
    total = None if of["total_frames"].value is None else of["total_frames"].whole()
    known = _total(frames, count)
    if known is not None and total != known:
        of["total_frames"].refuse(f"{known}, the sum of the clips' frames")
    return Clips(names=names, count=count, frames=frames, total_frames=total)


def _clip_names(value: Field) -> tuple[str, ...]:
    if not isinstance(value.value, list) or not value.value:
        value.refuse(f"a list of names, or {FROM_FOLDER!r}")
    allowed = 'a name of its own without / and \\, quoted where it looks like a number ("000")'
    found = []
    for item in value.items():
        name = item.text(r"[^./\\{}\s][^/\\{}\x00-\x1f]*", allowed)
        found.append(item.refuse(allowed) if name in found else name)
    return tuple(found)


def _frames(value: Field, names: tuple[str, ...] | None) -> dict[str, int] | tuple[int, ...]:
    if value.value is None:
        return ()
    if isinstance(value.value, dict):
        return {name: item.whole() for name, item in _by_clip(value, names).items()}
    if isinstance(value.value, list):
        return tuple(sorted({item.whole() for item in value.items()}))
    if type(value.value) is not int:
        value.refuse("a whole number, a list of those that occur, a mapping from each clip to its own, or null")
    return (value.whole(),)


def _total(frames: dict[str, int] | tuple[int, ...], count: int) -> int | None:
    if isinstance(frames, dict):
        return sum(frames.values())
    return count * frames[0] if len(frames) == 1 else None


def _by_clip(value: Field, names: tuple[str, ...] | None) -> dict[str, Field]:
    if names is None:
        value.refuse("no mapping, as the names of the clips are not known")
    return value.record(names)


def _sizes(value: Field, clips: Clips) -> Size | dict[str, Size] | None:
    if value.value is None:
        return None
    if isinstance(value.value, dict):
        return {name: _size(item) for name, item in _by_clip(value, clips.names).items()}
    return _size(value)


def _size(value: Field) -> Size:
    text = value.text("[1-9][0-9]{0,4}x[1-9][0-9]{0,4}", "a width and a height such as 1280x720, or null where it is not known")
    width, height = text.split("x")
    return Size(int(width), int(height))


def _frame_name(value: Field) -> str:
    return value.text(r"[^{}/\\]*\{:0[1-9]d\}\.png", 'the name of a frame such as "{:08d}.png", or null where it is not known')


def _layout(value: Field, clips: Clips) -> Layout:
    of = value.record(("used_by", "gt", "lq"), ("names", "with_others", "note"))
    names = _clip_names(of["names"]) if "names" in of else ()
    if names and (len(names) != clips.count or isinstance(clips.frames, dict) or clips.names is None):
        of["names"].refuse(f"{clips.count} names, where clips have names and frames are not given for each")
    return Layout(
        used_by=of["used_by"].text(),
        gt=_places(of["gt"]),
        lq=_places(of["lq"]),
        names=names,
        with_others="with_others" in of and of["with_others"].boolean(),
        note=of["note"].text() if "note" in of else "",
    )


def _places(value: Field) -> tuple[str, ...]:
    allowed = 'a list of places such as "GT/{clip}", relative to the folder of the set, where {clip} is one whole part'
    found = []
    for item in value.items():
        parts = item.text(allowed=allowed).split("/")
        others = [part for part in parts if part != "{clip}"]
        if len(parts) != len(others) + 1 or any(not re.fullmatch(r"[^.\\{}:][^\\{}:]*", part) for part in others):
            item.refuse(allowed)
        found.append(item.value)
    return tuple(found)


def _anchor(value: Field) -> Anchor:
    of = value.record(("method", "measure", "value", "source"))
    return Anchor(
        method=of["method"].text(), measure=of["measure"].text(), value=of["value"].number(), source=of["source"].text()
    )


def _check_ground_truth(card: DatasetCard, of: dict[str, Field]) -> None:
    if card.task != "own" and card.has_gt == (card.task == "real-no-gt"):
        of["has_gt"].refuse(f"{str(not card.has_gt).lower()} for the task {card.task!r}")
    if not card.has_gt and card.hr_size is not None:
        of["hr_size"].refuse("null, as there is no ground truth")
    if not card.has_gt and any(layout.gt for layout in card.layouts):
        of["layouts"].refuse("places for lq only, as there is no ground truth")


def _check_scale(card: DatasetCard, lr_size: Field) -> None:
    for clip in card.clips.names or ("",):
        hr, lr = card.size("hr_size", clip), card.size("lr_size", clip)
        if hr and lr and card.scale and hr != Size(lr.width * card.scale, lr.height * card.scale):
            lr_size.refuse(f"hr_size {hr} divided by scale {card.scale}")
