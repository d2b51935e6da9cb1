"""Routings as a profiler's user writes them: a routing.json, or shares of patterns."""

import string
from pathlib import Path

from oasis.routing import Pattern, RoutingTable, parse_pattern

THIRDS = "global=1,frame=1,window-8x8=1"


def shares(text: str, heads: int) -> tuple[Pattern, ...]:
    """Return a pattern for each of `heads` from a text such as `frame` or `global=1,frame=1,window-8x8=2`.

    Numbers are relative. What whole heads leave over goes to the largest remainders, the first of equal ones.
    """
    weights: dict[Pattern, float] = {}
    for item in text.split(","):
        name, _, number = item.partition("=")
        try:
            weight = float(number or 1)
        except ValueError as error:
            raise ValueError(f"routing {text!r}: {number!r} is no number; allowed: PATTERN=SHARE,...") from error
        pattern = parse_pattern(name)
        if pattern in weights or not 0 < weight < float("inf"):
            raise ValueError(f"routing {text!r}: {item!r} must name a pattern once, with a share above 0")
        weights[pattern] = weight
    exact = {pattern: weight * heads / sum(weights.values()) for pattern, weight in weights.items()}
    counts = {pattern: int(number) for pattern, number in exact.items()}
    for pattern in sorted(exact, key=lambda p: counts[p] - exact[p])[: heads - sum(counts.values())]:
        counts[pattern] += 1
    return tuple(pattern for pattern, count in counts.items() for _ in range(count))


def layer(text: str, heads: int) -> tuple[Pattern, ...]:
    """Return the patterns of one layer, equal ones together, from shares or from `routing.json:3`, by default layer 0."""
    path, _, number = text.partition(".json:")
    if not number and not text.endswith(".json"):
        return shares(text, heads)
    table = RoutingTable.load(Path(f"{path}.json" if number else text))
    if table.heads != heads or not (number or "0").isdecimal() or int(number or 0) >= len(table.layers):
        raise ValueError(
            f"routing {text!r}: the table has {len(table.layers)} layers of {table.heads} heads, not {heads} heads"
        )
    letters = sorted(table.layers[int(number or 0)])
    return tuple(table.patterns[letter] for letter in letters)


def table(text: str, model: str, layers: int, heads: int) -> RoutingTable:
    """Return a routing.json, or a table with the same shares of patterns in every layer of `model`."""
    if text.endswith(".json"):
        return RoutingTable.load(Path(text))
    chosen = shares(text, heads)
    letters = dict(zip(dict.fromkeys(chosen), string.ascii_letters, strict=False))
    return RoutingTable(
        model=model,
        weights_sha256="",
        patterns={letter: pattern for pattern, letter in letters.items()},
        layers=("".join(letters[pattern] for pattern in chosen),) * layers,
    )


def label(patterns: tuple[Pattern, ...]) -> str:
    """Return what heads are routed to, such as `4 global + 8 frame`."""
    counts = {pattern: patterns.count(pattern) for pattern in patterns}
    return " + ".join(f"{count} {pattern.name}" for pattern, count in counts.items())
