"""What a user allows so that two clips of different grids can be compared: said in words, written into every row."""

import re
from dataclasses import dataclass, fields
from typing import Any

from oasis.align.fit import Fit, Resize, Size

__all__ = ["GRAMMAR", "NONE", "Crop", "Fit", "Frames", "Policy", "Resize", "Shift", "Size", "parse"]

GRAMMAR = (
    "none, or joined by ';': resize:width=,height=  crop:left=,top=,width=,height=  shift:x=,y=  frames:start=,count=  "
    "as-is  unregistered"
)


@dataclass(frozen=True, kw_only=True)
class Crop:
    """The output shows this region of the reference; a side not given is the output's."""

    left: int = 0
    top: int = 0
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True, kw_only=True)
class Shift:
    """Output pixel (i, j) shows reference pixel (i + x, j + y), counted in the crop; what both show is compared."""

    x: int = 0
    y: int = 0


@dataclass(frozen=True, kw_only=True)
class Frames:
    """Output frame i shows reference frame i + start; `count` such pairs are compared, from the first on.

    Without `count`, every output frame that does not come before the reference must have its partner.
    """

    start: int = 0
    count: int | None = None


Part = Resize | Crop | Shift | Frames
_PARTS: dict[str, type[Part]] = {"resize": Resize, "crop": Crop, "shift": Shift, "frames": Frames}
_WORDS = {"as-is": "as_is", "unregistered": "unregistered"}
_LEAST = {"width": 1, "height": 1, "count": 1, "left": 0, "top": 0}


@dataclass(frozen=True, kw_only=True)
class Policy:
    """All that is allowed; nothing by default.

    `as_is` accepts whatever was measured (colour, shift, drift, scatter, temporal offset) so long as sizes and counts fit;
    `unregistered` takes only measures that need no reference. `str` gives the text that `parse` reads, in one form.
    ValueError for sides and counts below 1, crops that begin outside, and parts beside `unregistered`.
    """

    resize: Resize | None = None
    crop: Crop | None = None
    shift: Shift | None = None
    frames: Frames | None = None
    as_is: bool = False
    unregistered: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        parts = [part for name in _PARTS if (part := getattr(self, name))]
        if self.unregistered and (parts or self.as_is):
            raise ValueError(f"--align {self}: unregistered compares nothing with a reference and allows no other part")
        for part in parts:
            for field, least in _LEAST.items():
                value = getattr(part, field, None)
                if value is not None and value < least:
                    raise ValueError(f"--align {self}: {field} is {value}; allowed: {least} or more")

    def __str__(self) -> str:
        """Return the policy as `parse` reads it, "none" if nothing is allowed."""
        stated = [_text(name, part) for name in _PARTS if (part := getattr(self, name))]
        stated += [word for word, name in _WORDS.items() if getattr(self, name)]
        return ";".join(stated) or "none"

    def fit(self, output: Size, reference: Size) -> Fit:
        """Return what is compared of clips of these sizes; ValueError if the policy does not make them fit."""
        resized = self.resize or output
        if self.unregistered:
            whole = slice(0, output.height), slice(0, output.width)
            return Fit(resize=None, shown=whole, seen=None, output_frames=range(output.frames), reference_frames=range(0))
        crop = self.crop or Crop(width=reference.width, height=reference.height)
        width, height = crop.width or resized.width, crop.height or resized.height
        if crop.left + width > reference.width or crop.top + height > reference.height:
            raise ValueError(
                f"--align {self}: the crop reaches to column {crop.left + width} and row {crop.top + height}, the reference has"
                f" {_pixels(reference)} pixels"
            )
        if self.shift is None and (width, height) != (resized.width, resized.height):
            made = f", resized to {_pixels(resized)}" if self.resize else ""
            part = f", the crop {width}x{height}" if self.crop else ""
            raise ValueError(f"frames are {_pixels(output)}{made}, the reference {_pixels(reference)}{part}")
        x, y = (self.shift.x, self.shift.y) if self.shift else (0, 0)
        columns, rows = range(crop.left, crop.left + width), range(crop.top, crop.top + height)
        shown_x, seen_x = _overlap(resized.width, columns, x)
        shown_y, seen_y = _overlap(resized.height, rows, y)
        if not (shown_x and shown_y):
            raise ValueError(f"--align {self}: nothing overlaps after the shift")
        output_frames, reference_frames = _numbers(self.frames, output.frames, reference.frames)
        return Fit(
            resize=self.resize,
            shown=(_slice(shown_y), _slice(shown_x)),
            seen=(_slice(seen_y), _slice(seen_x)),
            output_frames=output_frames,
            reference_frames=reference_frames,
        )


NONE = Policy()


def parse(text: str) -> Policy:
    """Return the policy that a text like "crop:left=0,width=1264;as-is" states; ValueError if it states none."""
    if text.strip() == "none":
        return NONE
    given: dict[str, Any] = {}
    for part in text.split(";"):
        name, _, rest = part.strip().partition(":")
        if name in given or _WORDS.get(name) in given:
            raise ValueError(f"--align {text}: {name} is given twice")
        if name in _WORDS and not rest:
            given[_WORDS[name]] = True
        elif name in _PARTS and rest:
            given[name] = _part(text, name, rest)
        else:
            raise ValueError(f"--align {text}: cannot read {part!r}; allowed: {GRAMMAR}")
    return Policy(**given)


def _part(text: str, name: str, rest: str) -> Part:
    kind = _PARTS[name]
    known = [field.name for field in fields(kind)]
    numbers: dict[str, int] = {}
    for pair in rest.split(","):
        key, _, value = (word.strip() for word in pair.partition("="))
        if key not in known or key in numbers or not re.fullmatch(r"-?[0-9]+", value):
            raise ValueError(f"--align {text}: cannot read {pair!r} in {name}; allowed: {GRAMMAR}")
        numbers[key] = int(value)
    if kind is Resize and len(numbers) < 2:
        raise ValueError(f"--align {text}: resize needs width and height")
    return kind(**numbers)


def _text(name: str, part: Part) -> str:
    given = ((field.name, getattr(part, field.name)) for field in fields(part))
    return f"{name}:" + ",".join(f"{key}={value}" for key, value in given if value is not None)


def _overlap(output: int, reference: range, shift: int) -> tuple[range, range]:
    """Return the pixels of an output row that the reference also shows, and where it shows them."""
    shown = range(max(0, -shift), min(output, len(reference) - shift))
    start = reference.start + shift
    return shown, range(start + shown.start, start + shown.stop)


def _numbers(frames: Frames | None, outputs: int, references: int) -> tuple[range, range]:
    if frames is None:
        if outputs != references:
            raise ValueError(f"the output has {outputs} frames, the reference {references}")
        return range(outputs), range(references)
    first, second = max(0, -frames.start), max(0, frames.start)
    count = outputs - first if frames.count is None else frames.count
    if count < 1 or first + count > outputs or second + count > references:
        raise ValueError(
            f"--align {_text('frames', frames)}: output frames {first} to {first + count - 1} of {outputs} and reference frames"
            f" {second} to {second + count - 1} of {references} are not there"
        )
    return range(first, first + count), range(second, second + count)


def _slice(numbers: range) -> slice:
    return slice(numbers.start, numbers.stop)


def _pixels(size: Size | Resize) -> str:
    return f"{size.width}x{size.height}"
