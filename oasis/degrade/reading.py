"""Reads recipes strictly: what is missing, unknown, of another type or out of range is named with what is allowed."""

import json
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn, get_args

from oasis.degrade import ops
from oasis.degrade.classic import SCALE
from oasis.degrade.codec import Codec
from oasis.degrade.kernels import FAMILIES
from oasis.degrade.noise import Domain
from oasis.degrade.stages import INTERPOLATIONS
from oasis.degrade.variants import Variant, Walk

FORMAT = 1
SIDE = 16384  # pixels, at most
Rule = Callable[[str, Any], None]
"""Takes a field's name and value; ValueError if it does not fit."""
Rules = Mapping[str, Rule]


def parsed(path: Path) -> Any:
    """Return what a JSON file holds; ValueError if it is none, or names a field twice."""
    try:
        return json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_once)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: a recipe must be JSON ({error})") from error
    except RecursionError as error:
        raise ValueError(f"{path}: nested too deeply to be a recipe") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def check(recipe: Any, names: Collection[str], *, moderate: Collection[str], fixed: Collection[str]) -> None:
    """Raise ValueError, with field, value and what is allowed, where `named.draw` could not have meant a recipe."""
    side = _number(SCALE, SIDE, whole=True, multiple=SCALE)
    rules: dict[str, Rule] = {"format": _one_of((FORMAT,)), "name": _one_of(names), "frames": _number(1, 10**7, whole=True)}
    _object({**rules, "height": side, "width": side, "drawn": lambda field, value: None})("", recipe)
    frames, drawn = recipe["frames"], recipe["drawn"]
    if recipe["name"] in moderate:
        _object(_moderate(frames))("drawn", drawn)
    elif recipe["name"] in fixed:
        _object({})("drawn", drawn)
    else:
        _second_order(recipe, drawn)


def _moderate(frames: int) -> Rules:
    strength, quality = _each(frames, _number(0, 255)), _each(frames, _number(1, 95, whole=True))
    return {
        "resize": _one_of(ops.FILTERS),
        "scale": _one_of((SCALE,)),
        "blur_sigma": strength,
        "noise_sigma": strength,
        "jpeg_quality": lambda field, value: None if value is None else quality(field, value),
    }


def _second_order(recipe: Mapping[str, Any], drawn: Any) -> None:
    height, width, frames = recipe["height"], recipe["width"], recipe["frames"]
    target = height // SCALE, width // SCALE
    same: dict[str, Rule] = {name: _one_of((recipe[name],)) for name in ("format", "frames", "height", "width")}
    goal: dict[str, Rule] = {"target_height": _one_of((target[0],)), "target_width": _one_of((target[1],))}
    _object(same | goal | {"variant": _variant, "stages": lambda field, value: None})("drawn", drawn)
    stages = drawn["stages"]
    if not isinstance(stages, list):
        _refuse("drawn.stages", stages, "a list")
    for number, stage in enumerate(stages):
        _stage(f"drawn.stages[{number}]", stage, frames)
    resizes = [stage for stage in stages if stage["op"] == "resize"]
    size = list(zip(resizes[-1]["height"], resizes[-1]["width"], strict=True)) if resizes else [(height, width)]
    if set(size) != {target}:
        raise ValueError(f"the last resize of 'drawn.stages' must give {target[1]}x{target[0]} pixels in every frame")


def _stage(field: str, stage: Any, frames: int) -> None:
    flag, side, sides = _one_of((True, False)), _number(1, SIDE, whole=True), _each(frames, _number(1, SIDE, whole=True))
    steps: dict[str, dict[str, Rule]] = {
        "blur": {"family": _one_of(FAMILIES), "size": _number(1, 99, whole=True), "parameters": lambda field, value: None},
        "resize": {"interpolation": _one_of(INTERPOLATIONS), "height": sides, "width": sides},
        "gaussian_noise": {"grey": flag, "sigma": _each(frames, _number(0, 255))},
        "poisson_noise": {"grey": flag, "domain": _one_of(get_args(Domain)), "scale": _each(frames, _number(0, 100))},
        "jpeg": {"quality": _each(frames, _number(0, 100, whole=True)), "swapped": flag},
        "video": {"codec": _one_of(get_args(Codec)), "bitrate": _number(1000, 10**9, whole=True), "wrap": flag},
    }
    steps["video"] |= {"height": side, "width": side}
    if not isinstance(stage, dict) or "op" not in stage:
        _refuse(field, stage, "an object with the field 'op'")
    _one_of(steps)(f"{field}.op", stage["op"])
    rules = {"op": _one_of(steps)} | steps[stage["op"]]
    if stage["op"].endswith("noise") and "frozen" in stage:
        rules["frozen"] = _one_of((True,))
    if stage["op"] == "resize" and ("mode" in stage or "factor" in stage):  # the last one has a size only
        rules |= {"mode": _one_of(("up", "down", "keep")), "factor": _each(frames, _number(0.01, 10))}
    _object(rules)(field, stage)
    if stage["op"] == "blur":
        if stage["size"] % 2 == 0:
            _refuse(f"{field}.size", stage["size"], "an odd number")
        _object(_kernel(stage["family"], frames))(f"{field}.parameters", stage["parameters"])


def _kernel(family: str, frames: int) -> Rules:
    ranges = {"sigma_x": (0.05, 50), "sigma_y": (0.05, 50), "angle": (-math.pi, math.pi), "beta": (0.1, 10)}
    ranges |= {"omega": (0.01, math.pi)}
    taken = [name for name in FAMILIES[family].__annotations__ if name in ranges]
    return {name: _each(frames, _number(*ranges[name])) for name in taken}


def _variant(field: str, value: Any) -> None:
    flag, strength = _one_of((True, False)), _number(0, 100)
    rules: dict[str, Rule] = dict.fromkeys((each.name for each in fields(Variant)), flag)
    rules |= {"name": _text, "walk": _object({each.name: strength for each in fields(Walk)}), "jump": _number(0, 1)}
    _object(rules | {"poisson": _one_of(get_args(Domain))})(field, value)


def _object(rules: Rules) -> Rule:
    def check(field: str, value: Any) -> None:
        allowed = f"an object with exactly the fields {', '.join(rules) or '(none)'}"
        if not isinstance(value, dict):
            _refuse(field or "recipe", value, allowed)
        for name in value:
            if name not in rules:
                _refuse(f"{field}.{name}".lstrip("."), value[name], f"no such field, but {', '.join(rules) or 'none'}")
        for name, rule in rules.items():
            inner = f"{field}.{name}".lstrip(".")
            if name not in value:
                raise ValueError(f"the field {inner!r} is missing; allowed: {allowed}")
            rule(inner, value[name])

    return check


def _each(frames: int, rule: Rule) -> Rule:
    def check(field: str, value: Any) -> None:
        if not isinstance(value, list) or len(value) != frames:
            _refuse(field, value, f"a list of {frames} values, one for each frame")
        for number, item in enumerate(value):
            rule(f"{field}[{number}]", item)

    return check


def _number(low: float, high: float, *, whole: bool = False, multiple: int = 1) -> Rule:
    kind = f"a multiple of {multiple}" if multiple > 1 else "a whole number" if whole else "a number"

    def check(field: str, value: Any) -> None:
        fits = type(value) is int or (type(value) is float and not whole)
        if not fits or not low <= value <= high or (whole and value % multiple):
            _refuse(field, value, f"{kind} from {low:.6g} to {high:.6g}")

    return check


def _one_of(allowed: Collection[Any]) -> Rule:
    def check(field: str, value: Any) -> None:
        if not any(type(value) is type(each) and value == each for each in allowed):
            _refuse(field, value, ", ".join(json.dumps(each) for each in allowed))

    return check


def _text(field: str, value: Any) -> None:
    if not isinstance(value, str):
        _refuse(field, value, "a name")


def _refuse(field: str, value: Any, allowed: str) -> NoReturn:
    shown = repr(value)
    raise ValueError(f"field {field!r} is {shown if len(shown) <= 80 else shown[:77] + '...'}; allowed: {allowed}")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for number, (name, _) in enumerate(pairs) if name in dict(pairs[:number]))
        raise ValueError(f"the field {twice!r} is there twice; allowed: once")
    return found
