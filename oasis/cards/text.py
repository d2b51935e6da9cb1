"""Cards as plain text, for people."""

import textwrap
from dataclasses import fields

from oasis.cards.card import Clips, DatasetCard, Layout, Size


def row(card: DatasetCard) -> dict[str, str]:
    """Return the facts that a list of data sets shows, by column; "?" marks the unconfirmed."""
    lengths = card.clips.frames.values() if isinstance(card.clips.frames, dict) else card.clips.frames
    shown = {
        "name": card.name,
        "task": card.task,
        "ground truth": "yes" if card.has_gt else "no",
        "scale": f"x{card.scale}" if card.scale else "unknown",
        "clips": str(card.clips.count),
        "frames": "unknown" if not lengths else "-".join(str(n) for n in sorted({min(lengths), max(lengths)})),
        "size": _sizes_text(card.hr_size if card.has_gt else card.lr_size),
        "licence": card.licence,
    }
    doubted = {"frames": "clips", "size": "hr_size" if card.has_gt else "lr_size"}
    return {key: text + "?" * (doubted.get(key, key) in card.uncertain) for key, text in shown.items()}


def describe(card: DatasetCard) -> str:
    """Return all that a card says as plain text of at most 110 columns; uncertain fields are marked "(unconfirmed)"."""
    lines = [f"{card.title} ({card.name})"]
    for field in fields(card)[2:]:
        if field.name != "uncertain":
            label = field.name.replace("_", " ") + " (unconfirmed)" * (field.name in card.uncertain)
            lines += _block(label, _said(card, field.name))
    return "\n".join(lines)


def _block(label: str, said: str | list[str]) -> list[str]:
    if isinstance(said, str):
        return _wrapped(f"  {label}: {said}")
    return [f"  {label}:", *(line for text in said for line in _wrapped(f"    - {text}"))]


def _sizes_text(sizes: Size | dict[str, Size] | None) -> str:
    if isinstance(sizes, Size):
        return str(sizes)
    return "varies" if sizes is None else ", ".join(sorted({str(size) for size in sizes.values()}))


def _said(card: DatasetCard, field: str) -> str | list[str]:
    value = getattr(card, field)
    if field == "clips":
        return _clips_said(card.clips)
    if field == "layouts":
        return [_layout_said(layout) for layout in card.layouts] or "none is known"
    if field == "anchors":
        return [f"{a.method}: {a.measure} {a.value:g} ({a.source})" for a in card.anchors] or "none is known"
    if field == "hr_size" and not card.has_gt:
        return "there is no ground truth"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return [f"{key}: {item}" for key, item in value.items()] or "none is known"
    if isinstance(value, tuple) and not isinstance(value, Size):
        return list(value) or "none"
    return "not known, or it varies" if value is None else str(value)


def _clips_said(clips: Clips) -> list[str]:
    total = f"{clips.count} clips, {clips.total_frames or 'an unknown number of'} frames in all"
    if isinstance(clips.frames, dict):
        return [total, ", ".join(f"{name} {frames}" for name, frames in clips.frames.items())]
    lengths = " or ".join(str(length) for length in clips.frames) or "an unknown number of"
    return [f"{total}, {lengths} in each", ", ".join(clips.names) if clips.names else "names are taken from the folder"]


def _layout_said(layout: Layout) -> str:
    parts = [f"{role}: {' or '.join(places)}" for role, places in (("gt", layout.gt), ("lq", layout.lq)) if places]
    parts += [f"clips are called {', '.join(layout.names)}"] if layout.names else []
    parts += ["clips of other sets lie beside them"] if layout.with_others else []
    return f"{layout.used_by}: {'; '.join([*parts, layout.note] if layout.note else parts)}"


def _wrapped(line: str) -> list[str]:
    return textwrap.wrap(line, 110, subsequent_indent="      ", break_on_hyphens=False)
