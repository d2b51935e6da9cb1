"""Cards of methods: what a row of a leaderboard is called, where it comes from, how large it is and what ran it."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

import yaml

Kind = Literal["ours", "classic", "published"]


@dataclass(frozen=True, kw_only=True)
class MethodCard:
    """One method.

    `name` is what rows call it, `title` what people read; `venue` and `link` say where it was published ("" where it was
    not); `parameters` is None where nobody states them; `ran_by` says what produced the outputs that were scored.
    """

    name: str
    title: str
    venue: str
    link: str
    parameters: int | None
    kind: Kind
    ran_by: str
    note: str


def load(path: Path) -> MethodCard:
    """Read a card; ValueError names the file, the field, its value and what is allowed."""
    try:
        data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: not a YAML text file ({' '.join(str(error).split())})") from error
    try:
        return _card(data)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def load_all(folder: Path) -> dict[str, MethodCard]:
    """Read every .yaml of a folder, by the method's name; ValueError if two cards have one name."""
    found: dict[str, tuple[Path, MethodCard]] = {}
    for path in sorted(Path(folder).glob("*.yaml")):
        card = load(path)
        if card.name in found:
            raise ValueError(
                f"{path}: field 'name' is {card.name!r}, which {found[card.name][0].name} has, too; allowed: a new name"
            )
        found[card.name] = path, card
    return {name: card for name, (_, card) in sorted(found.items())}


def _card(data: Any) -> MethodCard:
    names = [field.name for field in fields(MethodCard)]
    if not isinstance(data, dict) or set(data) != set(names):
        given = ", ".join(map(str, data)) if isinstance(data, dict) else type(data).__name__
        raise ValueError(f"fields are {given}; allowed, and all needed: {', '.join(names)}")
    for name in names:
        empty_allowed = name in ("venue", "link", "note")
        if name != "parameters" and not (isinstance(data[name], str) and (data[name].strip() or empty_allowed)):
            raise ValueError(f"field {name!r} is {data[name]!r}; allowed: a text{' or an empty one' * empty_allowed}")
    if data["parameters"] is not None and (type(data["parameters"]) is not int or data["parameters"] < 0):
        raise ValueError(
            f"field 'parameters' is {data['parameters']!r}; allowed: a whole number, or null where nobody states it"
        )
    if data["kind"] not in get_args(Kind):
        raise ValueError(f"field 'kind' is {data['kind']!r}; allowed: {', '.join(get_args(Kind))}")
    if data["link"] and urlsplit(data["link"]).scheme not in ("http", "https"):
        raise ValueError(f"field 'link' is {data['link']!r}; allowed: an address that begins with https://, or an empty text")
    return MethodCard(**data)
