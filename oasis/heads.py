"""The file of head statistics, heads.csv: its columns, and a reader that refuses whatever does not fit."""

import csv
import itertools
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from oasis.routing import parse_pattern

COLUMNS = (
    *("model", "weights_sha256", "clip", "T", "H", "W", "timestep", "layer", "head", "pattern"),
    *("kl_mean", "kl_p50", "kl_p95", "kl_rel", "mass_mean", "out_err"),
    *("entropy_mean", "dist_t", "dist_xy", "self_mass", "queries", "dtype", "backend"),
)
KEY = ["layer", "head", "pattern", "clip"]
ONE_PER_FILE = ("model", "weights_sha256", "T", "H", "W", "timestep", "dtype")
KL_ROUNDING = 1e-4
"""How far below zero, in nats, the difference of two float32 log-sum-exps may fall."""


def read_heads(path: Path) -> pd.DataFrame:
    """Read heads.csv: one row per (clip, layer, head, pattern), every combination once.

    Raises:
        ValueError: One sentence with the file, the line or combination, and what is allowed.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file, strict=True))
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a CSV text file ({error})") from error
    try:
        _check_columns(rows[0] if rows else [])
        for line, row in enumerate(rows[1:], 2):
            if len(row) != len(COLUMNS):
                raise ValueError(f"line {line} has {len(row)} fields; allowed: {len(COLUMNS)}")
        texts = dict(zip(COLUMNS, zip(*rows[1:], strict=True), strict=True)) if rows[1:] else {}
        heads = pd.DataFrame({name: _values(name, column) for name, column in texts.items()}, columns=COLUMNS)
        check_heads(heads)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return heads


def check_heads(heads: pd.DataFrame) -> None:
    """Raise ValueError unless `heads` is one model on one grid, with each combination of its key exactly once."""
    _check_columns(list(heads.columns))
    if heads.empty:
        raise ValueError("there are no rows; at least one head is needed")
    blank = heads.isna()
    if blank.any(axis=None):
        name = blank.any().idxmax()
        raise ValueError(f"column {name!r} has no value (NaN) for {_where(heads[blank[name]].iloc[0])}")
    for name in ONE_PER_FILE:
        found = heads[name].unique()
        if len(found) > 1:
            raise ValueError(f"column {name!r} holds {found[0]!s} and {found[1]!s}; allowed: one value per file")
    texts = sorted({parse_pattern(name).text for name in heads["pattern"].unique()})
    if len(texts) > 1:
        raise ValueError(f"column 'pattern' has {texts[0]} and {texts[1]} text tokens; allowed: one number per file")
    repeated = heads[heads.duplicated(KEY)]
    if len(repeated):
        raise ValueError(f"{_where(repeated.iloc[0])} is there twice; allowed: once")
    layers, per_layer = int(heads["layer"].max()) + 1, int(heads["head"].max()) + 1
    patterns, clips = sorted(set(heads["pattern"])), sorted(set(heads["clip"]))
    if len(heads) != layers * per_layer * len(patterns) * len(clips):
        present = set(heads[KEY].itertuples(index=False, name=None))
        wanted = itertools.product(range(layers), range(per_layer), patterns, clips)
        missing = next(key for key in wanted if key not in present)
        where = _where(dict(zip(KEY, missing, strict=True)))
        raise ValueError(f"{where} is missing; every layer x head x pattern x clip must be there")


class _Form(NamedTuple):
    read: Callable[[str], Any]
    meaning: str


def _values(name: str, column: tuple[str, ...]) -> list[Any]:
    form = _FORMS.get(name, _FORM_NUMBER)
    values = []
    for line, text in enumerate(column, 2):
        try:
            values.append(form.read(text))
        except ValueError as error:
            raise ValueError(f"line {line}, column {name!r}: {text!r} is not {form.meaning}") from error
    return values


def _check_columns(found: list[str]) -> None:
    for number, (name, wanted) in enumerate(itertools.zip_longest(found, COLUMNS), 1):
        if name != wanted:
            raise ValueError(f"column {number} is {name!r}, not {wanted!r}; the columns are, in order: {', '.join(COLUMNS)}")


def _where(row: Any) -> str:
    return ", ".join(f"{name} {row[name]}" for name in KEY)


def _require(fits: bool) -> None:
    if not fits:
        raise ValueError


def _text(text: str) -> str:
    _require(bool(text.strip()))
    return text


def _whole(text: str) -> int:
    _require(re.fullmatch("[0-9]{1,9}", text) is not None)
    return int(text)


def _positive(text: str) -> int:
    value = _whole(text)
    _require(value > 0)
    return value


def _number(text: str) -> float:
    value = float(text)
    _require(math.isfinite(value))
    return value


def _divergence(text: str) -> float:
    value = _number(text)
    _require(value >= -KL_ROUNDING)
    return value


def _pattern(text: str) -> str:
    pattern = parse_pattern(text)
    _require(pattern.name == text and pattern.kind != "global")
    return text


_FORM_NUMBER = _Form(_number, "a finite number")
_FORMS = {
    **dict.fromkeys(("model", "weights_sha256", "clip", "dtype", "backend"), _Form(_text, "a text of at least one character")),
    **dict.fromkeys(("T", "H", "W", "queries"), _Form(_positive, "a whole number of at least 1")),
    **dict.fromkeys(("layer", "head"), _Form(_whole, "a whole number of at least 0")),
    **dict.fromkeys(("kl_mean", "kl_p50", "kl_p95", "kl_rel"), _Form(_divergence, "a finite number of at least 0")),
    "pattern": _Form(_pattern, "frame, window-AxC[-shift], neighbour-K or sliding-rRxS, each also +textL (global has no rows)"),
}
