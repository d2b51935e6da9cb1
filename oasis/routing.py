"""Patterns (which keys a query may see) and the routing table (which head uses which pattern)."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from oasis import files

FORMAT = 1
Kind = Literal["global", "frame", "window", "neighbour", "sliding"]
_FIELDS: dict[str, set[str]] = {
    "global": set(),
    "frame": set(),
    "window": {"size", "shift"},
    "neighbour": {"frames"},
    "sliding": {"radius"},
}


def _check_integers(name: str, values: Any, count: int, *, least: int) -> None:
    good = isinstance(values, tuple) and len(values) == count
    if not good or any(type(value) is not int or value < least for value in values):
        raise ValueError(f"pattern field {name!r} must be {count} whole number(s) of at least {least}, got {values!r}")


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """The set of keys that a query at (t, y, x) may attend to.

    `global`: every token. `frame`: equal t. `window`: tokens of every frame in the same cell of `size` (rows, columns),
    cells moved by half a cell if `shift`. `neighbour`: |dt| <= `frames`. `sliding`: |dy| <= radius[0] and
    |dx| <= radius[1], every frame. Windows at the border are smaller, never padded.

    `text` tokens of a prompt stand in front of the video's in models that attend to both jointly: every query sees them, and
    they see everything.
    """

    kind: Kind
    size: tuple[int, int] | None = None
    shift: bool = False
    frames: int | None = None
    radius: tuple[int, int] | None = None
    text: int = 0

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"pattern kind {self.kind!r} is unknown; allowed: {', '.join(get_args(Kind))}")
        allowed = _FIELDS[self.kind]
        given = {"size": self.size, "frames": self.frames, "radius": self.radius}
        for name, value in given.items():
            if (value is not None) != (name in allowed):
                state = "needs" if name in allowed else "takes no"
                raise ValueError(f"pattern kind {self.kind!r} {state} {name!r}, got {value!r}")
        if self.shift and "shift" not in allowed:
            raise ValueError(f"pattern kind {self.kind!r} takes no 'shift'")
        if self.size is not None:
            _check_integers("size", self.size, 2, least=1)
        if self.radius is not None:
            _check_integers("radius", self.radius, 2, least=0)
        if self.frames is not None:
            _check_integers("frames", (self.frames,), 1, least=0)
        _check_integers("text", (self.text,), 1, least=0)

    @property
    def shifts(self) -> tuple[int, int]:
        """Tokens by which the cells of a window move, (rows, columns)."""
        return (self.size[0] // 2, self.size[1] // 2) if self.shift and self.size else (0, 0)

    @property
    def name(self) -> str:
        """A short name that carries the numbers, such as `window-8x8`, `sliding-r2x2` or `frame+text226`."""
        return self._video_name + (f"+text{self.text}" if self.text else "")

    @property
    def _video_name(self) -> str:
        if self.size is not None:
            return f"window-{self.size[0]}x{self.size[1]}" + ("-shift" if self.shift else "")
        if self.frames is not None:
            return f"neighbour-{self.frames}"
        if self.radius is not None:
            return f"sliding-r{self.radius[0]}x{self.radius[1]}"
        return self.kind

    def to_json(self) -> dict[str, Any]:
        """Return the fields that are set, as in routing.json."""
        found: dict[str, Any] = {"kind": self.kind}
        for name in ("size", "radius"):
            if getattr(self, name) is not None:
                found[name] = list(getattr(self, name))
        if self.frames is not None:
            found["frames"] = self.frames
        if self.shift:
            found["shift"] = True
        if self.text:
            found["text"] = self.text
        return found

    @classmethod
    def from_json(cls, data: Any) -> "Pattern":
        """Read the form that `to_json` writes; ValueError names the field that does not fit."""
        if not isinstance(data, Mapping) or not isinstance(data.get("kind"), str):
            raise ValueError(f"a pattern must be an object with a 'kind', got {data!r}")
        unknown = set(data) - {"kind", "size", "shift", "frames", "radius", "text"}
        if unknown:
            raise ValueError(f"pattern has unknown fields {sorted(unknown)}; allowed: kind, size, shift, frames, radius, text")
        values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}
        if not isinstance(values.get("shift", False), bool):
            raise ValueError(f"pattern field 'shift' must be true or false, got {values['shift']!r}")
        return cls(**values)


GLOBAL = Pattern(kind="global")
FRAME = Pattern(kind="frame")


def window(rows: int, columns: int, *, shift: bool = False) -> Pattern:
    """Return the window pattern with cells of `rows` by `columns` tokens."""
    return Pattern(kind="window", size=(rows, columns), shift=shift)


@dataclass(frozen=True, kw_only=True)
class RoutingTable:
    """One pattern for every head of every layer, and where the decision came from.

    `layers` holds one string per layer, one letter per head in the order of the checkpoint's heads; each letter is a
    key of `patterns`.
    """

    model: str
    weights_sha256: str
    patterns: Mapping[str, Pattern]
    layers: tuple[str, ...]
    rule: Mapping[str, Any] = field(default_factory=dict)
    probe: Mapping[str, Any] = field(default_factory=dict)
    made_with: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for letter in self.patterns:
            if len(letter) != 1:
                raise ValueError(f"a pattern's key must be one letter, got {letter!r}")
        if not self.layers:
            raise ValueError("a routing table needs at least one layer")
        for number, letters in enumerate(self.layers):
            if len(letters) != len(self.layers[0]) or not letters:
                raise ValueError(f"layer {number} has {len(letters)} heads, layer 0 has {len(self.layers[0])}")
            unknown = sorted(set(letters) - set(self.patterns))
            if unknown:
                raise ValueError(f"layer {number} names pattern {unknown[0]!r}; allowed: {', '.join(sorted(self.patterns))}")
        texts = sorted({pattern.text for pattern in self.patterns.values()})
        if len(texts) > 1:
            raise ValueError(f"patterns have {texts[0]} and {texts[1]} text tokens; allowed: one number per table")

    @property
    def heads(self) -> int:
        """Heads of each layer."""
        return len(self.layers[0])

    @property
    def text(self) -> int:
        """Text tokens in front of the video's, the same for every head."""
        return next(iter(self.patterns.values())).text

    def layer_patterns(self, layer: int) -> tuple[Pattern, ...]:
        """Return the pattern of every head of `layer`, in checkpoint order."""
        return tuple(self.patterns[letter] for letter in self.layers[layer])

    def counts(self) -> dict[str, int]:
        """Return how many heads use each pattern, by letter."""
        joined = "".join(self.layers)
        return {letter: joined.count(letter) for letter in self.patterns}

    def save(self, path: Path) -> None:
        """Write the table as JSON that diffs well: one line for each pattern and each layer."""
        data = {
            "format": FORMAT,
            "model": self.model,
            "weights_sha256": self.weights_sha256,
            "patterns": {letter: pattern.to_json() for letter, pattern in self.patterns.items()},
            "layers": list(self.layers),
            "rule": dict(self.rule),
            "probe": dict(self.probe),
            "made_with": dict(self.made_with),
        }
        files.write_text(path, _json_by_line(data))

    @classmethod
    def load(cls, path: Path) -> "RoutingTable":
        """Read a table; ValueError names the file and the field that does not fit."""
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: not a JSON file ({error})") from error
        try:
            return cls.from_json(data)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    @classmethod
    def from_json(cls, data: Any) -> "RoutingTable":
        """Check and convert parsed JSON."""
        if not isinstance(data, Mapping):
            raise ValueError(f"a routing table must be a JSON object, got {type(data).__name__}")
        if type(data.get("format")) is not int or data["format"] != FORMAT:
            raise ValueError(f"field 'format' is {data.get('format')!r}; allowed: {FORMAT}")
        expected = {
            "model": str,
            "weights_sha256": str,
            "patterns": Mapping,
            "layers": list,
            "rule": Mapping,
            "probe": Mapping,
            "made_with": Mapping,
        }
        for name, kind in expected.items():
            if not isinstance(data.get(name), kind):
                raise ValueError(f"field {name!r} must be of type {kind.__name__}, got {data.get(name)!r}")
        unknown = sorted(set(data) - set(expected) - {"format"})
        if unknown:
            raise ValueError(f"unknown field {unknown[0]!r}; allowed: format, {', '.join(expected)}")
        if not all(isinstance(letters, str) for letters in data["layers"]):
            raise ValueError("field 'layers' must hold one string per layer")
        return cls(
            model=data["model"],
            weights_sha256=data["weights_sha256"],
            patterns={letter: Pattern.from_json(pattern) for letter, pattern in data["patterns"].items()},
            layers=tuple(data["layers"]),
            rule=data["rule"],
            probe=data["probe"],
            made_with=data["made_with"],
        )


def _json_by_line(data: Mapping[str, Any]) -> str:
    lines = []
    for name, value in data.items():
        if name in ("patterns", "layers") and value:
            items = value.items() if isinstance(value, Mapping) else ((None, item) for item in value)
            inner = [(f"{json.dumps(key)}: " if key is not None else "") + json.dumps(item) for key, item in items]
            left, right = "{}" if isinstance(value, Mapping) else "[]"
            text = f"{left}\n    " + ",\n    ".join(inner) + f"\n  {right}"
        else:
            text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        lines.append(f"  {json.dumps(name)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def parse_pattern(name: str) -> Pattern:
    """Return the pattern that a name such as `global`, `window-8x8-shift`, `sliding-r2x2` or `frame+text226` stands for."""
    video, joint, text = name.partition("+text")
    for expression, build in _NAMES.items():
        match = re.fullmatch(expression, video)
        if match and (not joint or re.fullmatch("[1-9][0-9]*", text)):
            return replace(build(match), text=int(text or 0))
    raise ValueError(
        f"pattern {name!r} is unknown; allowed: global, frame, window-AxC[-shift], neighbour-K, sliding-rRxS, each also +textL"
    )


_NAMES: dict[str, Callable[[re.Match[str]], Pattern]] = {
    "global": lambda _: GLOBAL,
    "frame": lambda _: FRAME,
    r"window-(\d+)x(\d+)(-shift)?": lambda m: window(int(m[1]), int(m[2]), shift=m[3] is not None),
    r"neighbour-(\d+)": lambda m: Pattern(kind="neighbour", frames=int(m[1])),
    r"sliding-r(\d+)x(\d+)": lambda m: Pattern(kind="sliding", radius=(int(m[1]), int(m[2]))),
}
