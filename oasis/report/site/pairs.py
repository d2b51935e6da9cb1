"""Paired comparisons as scripts that the page loads when they are asked for: one per data set, which works from a file, too."""

import json
from collections.abc import Iterator

import pandas as pd

COLUMNS = ("n", "difference", "low", "high", "p", "p_holm")


def pair_scripts(comparisons: pd.DataFrame, summary: pd.DataFrame, keys: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the path, relative to the page, and the text of a script per data set that has two methods.

    It calls `oasisPairs` with the data set's key, its entries (method, kind), and per measure its name, better, digits and
    pairs "a,b" (places in entries) -> n, difference a - b, interval, p, p after Holm's correction, the better one.
    """
    facts = summary.drop_duplicates("measure").set_index("measure")[["unit", "better", "digits"]]
    for dataset, part in comparisons.groupby("dataset", observed=True, sort=True):
        sides = [list(zip(part[f"method_{side}"], part[f"kind_{side}"], strict=True)) for side in "ab"]
        entries = sorted({*sides[0], *sides[1]})
        place = {entry: number for number, entry in enumerate(entries)}
        keyed = [f"{place[a]},{place[b]}" for a, b in zip(*sides, strict=True)]
        numbers = zip(*(part[name].tolist() for name in COLUMNS), part["better"].tolist(), strict=True)
        pairs: dict[str, dict[str, list[float | int | str | None]]] = {}
        for measure, key, row in zip(part["measure"], keyed, numbers, strict=True):
            pairs.setdefault(measure, {})[key] = [_plain(value) for value in row]
        found = [
            {"name": name, **facts.loc[name].to_dict(), "pairs": pairs[name]} for name in facts.index if name in pairs
        ]
        content = {"key": keys[str(dataset)], "entries": entries, "measures": found}
        text = json.dumps(content, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
        yield f"site/pairs/{keys[str(dataset)]}.js", f"oasisPairs({text});\n"


def _plain(value: float | int | str) -> float | int | str | None:
    """Return six significant digits, all that the page shows; what is no finite number as null."""
    if isinstance(value, float):
        return float(f"{value:.6g}") if value - value == 0 else None
    return value
