"""A field of a card as YAML gave it, and readers that refuse what does not fit."""

import re
import reprlib
from dataclasses import dataclass
from typing import Any, NoReturn


@dataclass(frozen=True)
class Field:
    """A value and where it stands; every reader returns it or raises ValueError with field, value and what is allowed."""

    name: str
    value: Any

    def refuse(self, allowed: str) -> NoReturn:
        """Raise ValueError."""
        where = f"field {self.name!r}" if self.name else "the whole card"
        raise ValueError(f"{where} is {reprlib.repr(self.value)}; allowed: {allowed}")

    def text(self, pattern: str = r"(?s).*\S.*", allowed: str = "a text") -> str:
        """Return a text that fits a regular expression."""
        if not isinstance(self.value, str) or not re.fullmatch(pattern, self.value):
            self.refuse(allowed)
        return self.value

    def boolean(self) -> bool:
        """Return true or false."""
        if type(self.value) is not bool:
            self.refuse("true or false")
        return self.value

    def whole(self) -> int:
        """Return a positive whole number."""
        if type(self.value) is not int or not 1 <= self.value <= 10**9:
            self.refuse("a whole number of at least 1")
        return self.value

    def number(self) -> float:
        """Return a finite number."""
        if type(self.value) not in (int, float) or not abs(self.value) <= 1e9:
            self.refuse("a number")
        return float(self.value)

    def items(self) -> list["Field"]:
        """Return the items of a list."""
        if not isinstance(self.value, list):
            self.refuse("a list")
        return [Field(f"{self.name}[{number}]", item) for number, item in enumerate(self.value)]

    def texts(self) -> tuple[str, ...]:
        """Return the items of a list of texts."""
        return tuple(item.text() for item in self.items())

    def mapping(self) -> dict[str, "Field"]:
        """Return the values of a mapping from texts."""
        if not isinstance(self.value, dict) or not all(isinstance(key, str) for key in self.value):
            self.refuse("a mapping from texts, quoted where they look like numbers")
        return {key: Field(self._below(key), value) for key, value in self.value.items()}

    def record(self, required: tuple[str, ...], optional: tuple[str, ...] = ()) -> dict[str, "Field"]:
        """Return the values of a mapping that must have exactly these keys."""
        found = self.mapping()
        allowed = ", ".join((*required, *optional))
        for key, field in found.items():
            if key not in (*required, *optional):
                raise ValueError(f"field {field.name!r} is not known; allowed: {allowed}")
        for key in required:
            if key not in found:
                raise ValueError(f"field {self._below(key)!r} is missing; needed: {', '.join(required)}")
        return found

    def _below(self, key: str) -> str:
        return f"{self.name}.{key}" if self.name else key
