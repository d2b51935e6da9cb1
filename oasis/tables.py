"""Tables that carry how they came about: rows of one frozen record as CSV, below a first line of JSON, the fingerprint."""

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from oasis import files

Row = TypeVar("Row")


def write(path: Path, record: type[Row], rows: Iterable[Row], fingerprint: Mapping[str, Any]) -> None:
    """Write rows of a dataclass below a line `# {fingerprint as JSON}`, whole or not at all; equal rows give equal bytes.

    Fields are texts, whole numbers, floats (the shortest digits that give the same float back) or None (an empty field).
    """
    columns = [field.name for field in fields(record)]  # type: ignore[arg-type]
    text = io.StringIO(newline="")
    text.write(f"# {json.dumps(fingerprint, sort_keys=True)}\n")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(columns)
    table.writerows([_text(getattr(row, name)) for name in columns] for row in rows)
    files.write_text(path, text.getvalue())


def read(path: Path, record: type[Row]) -> tuple[list[Row], dict[str, Any]]:
    """Return the rows and the fingerprint of a file that `write` wrote; ValueError says which line or field does not fit."""
    fingerprint, rest = split(path)
    hints = get_type_hints(record)
    table = csv.DictReader(io.StringIO(rest, newline=""))
    if list(table.fieldnames or ()) != list(hints):
        raise ValueError(f"{path}: columns are {', '.join(table.fieldnames or ())}; allowed: {', '.join(hints)}")
    try:
        return [_row(path, number, record, hints, row) for number, row in enumerate(table, start=3)], fingerprint
    except csv.Error as error:
        raise ValueError(
            f"{path}, line {table.line_num + 2}: {error}; allowed: lines of CSV as this project writes them"
        ) from error


def split(path: Path) -> tuple[dict[str, Any], str]:
    """Return the fingerprint of a table and the text below it; ValueError if there is no fingerprint."""
    try:
        first, _, rest = Path(path).read_text(encoding="utf-8").partition("\n")
        fingerprint = json.loads(first.removeprefix("# ")) if first.startswith("# ") else None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: not a table of this project ({error})") from error
    if not isinstance(fingerprint, dict):
        raise ValueError(f"{path}: its first line must be '# ' and a fingerprint in JSON")
    return fingerprint, rest


def _row(path: Path, line: int, record: type[Row], hints: Mapping[str, Any], row: dict[str, str]) -> Row:
    try:
        if None in row or None in row.values():
            raise ValueError("another number of fields than the header has")
        return record(**{name: _value(name, hint, row[name]) for name, hint in hints.items()})
    except ValueError as error:
        raise ValueError(f"{path}, line {line}: {error}") from error


def _value(name: str, hint: Any, text: str) -> Any:
    if get_origin(hint) is Literal:
        if text not in get_args(hint):
            raise ValueError(f"{name} is {text!r}; allowed: {', '.join(get_args(hint))}")
        return text
    options = get_args(hint) or (hint,)
    if text == "" and type(None) in options:
        return None
    if str in options:
        return text
    try:
        number = int(text) if int in options else float(text)
    except ValueError as error:
        raise ValueError(f"{name} is {text!r}; allowed: a {'whole number' if int in options else 'number'}") from error
    if math.isnan(number):
        raise ValueError(f"{name} is {text!r}; allowed: a number")
    return number


def _text(value: Any) -> str:
    return "" if value is None else repr(float(value)) if isinstance(value, float) else str(value)
