"""From head statistics to a routing table: rules by name, and the record of a decision. Needs neither torch nor a GPU."""

import bisect
import importlib.metadata
import math
import platform
import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import pandas as pd

from oasis import __version__, losses, rules
from oasis.heads import read_heads
from oasis.losses import Losses
from oasis.routing import Kind, Pattern, RoutingTable, parse_pattern
from oasis.rules import STATISTICS, Choices, Chosen

__all__ = [
    "STATISTICS",
    "Rule",
    "compare",
    "decide",
    "decide_from",
    "front",
    "parse_rule",
    "random_like",
    "read_heads",
    "table",
    "tau_within",
    "total",
    "total_of",
]


class _Form(NamedTuple):
    fits: Callable[[Any], bool]
    meaning: str


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and value >= 0


_NUMBER = _Form(_is_number, "a number of at least 0")
_RATIO = _Form(lambda value: _is_number(value) and 0 < value <= 1, "a number above 0 and at most 1")
_WHOLE = _Form(lambda value: type(value) is int and value >= 0, "a whole number of at least 0")
_FLAG = _Form(lambda value: type(value) is bool, "true or false")
_NAME = _Form(lambda value: isinstance(value, str), "a pattern's name")
_SHARES = "PATTERN"
_PARAMETERS: dict[str, dict[str, _Form]] = {
    "threshold": {"tau": _NUMBER},
    "quota": {_SHARES: _NUMBER, "per_layer": _FLAG},
    "budget": {"ratio": _RATIO},
    "greedy": {"ratio": _RATIO},
    "random": {"seed": _WHOLE, _SHARES: _NUMBER},
    "random-within": {"seed": _WHOLE, "ratio": _RATIO},
    "uniform": {"pattern": _NAME},
}
_OPTIONAL = (_SHARES, "per_layer")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A rule's name and parameters; ValueError lists the known ones. What each does is written in `oasis.rules`.

    `threshold` tau (nats), `quota` shares and optionally per_layer, `budget` ratio, and as controls `greedy` ratio, `random`
    seed and shares, `random-within` seed and ratio, `uniform` pattern. Shares are given as PATTERN=SHARE, by the pattern's
    name or by a kind that only one pattern is of; they add up to 1, or to the number of heads.
    """

    name: str
    parameters: Mapping[str, Any]

    def __post_init__(self) -> None:
        if self.name not in _PARAMETERS:
            raise ValueError(f"rule {self.name!r} is unknown; allowed: {', '.join(_PARAMETERS)}")
        forms = _PARAMETERS[self.name]
        for name, value in self.parameters.items():
            form = forms.get(_SHARES if _names_pattern(name) else name)
            if form is None or name == _SHARES:
                raise ValueError(f"rule {self.name!r} has no parameter {name!r}; allowed: {', '.join(forms)}")
            if not form.fits(value):
                raise ValueError(f"parameter {name!r} of rule {self.name!r} must be {form.meaning}, got {value!r}")
        for name in forms:
            if name not in self.parameters and name not in _OPTIONAL:
                raise ValueError(f"rule {self.name!r} needs the parameter {name!r}")

    def __str__(self) -> str:
        texts = {name: str(value).lower() if isinstance(value, bool) else value for name, value in self.parameters.items()}
        return f"{self.name}:" + ",".join(f"{name}={value}" for name, value in texts.items())

    def choose(self, choices: Choices) -> Chosen:
        """Return the number of the pattern of every head."""
        given = self.parameters
        shares = {name: value for name, value in given.items() if _names_pattern(name)}
        match self.name:
            case "threshold":
                return rules.threshold(choices, given["tau"])
            case "quota":
                return rules.quota(choices, shares, per_layer=given.get("per_layer", False))
            case "budget":
                return rules.budget(choices, given["ratio"])
            case "greedy":
                return rules.greedy(choices, given["ratio"])
            case "random-within":
                return rules.random_within(choices, given["ratio"], seed=given["seed"])
            case "random":
                return rules.random(choices, shares, seed=given["seed"])
            case _:
                return rules.uniform(choices, given["pattern"])


def parse_rule(text: str) -> Rule:
    """Return the rule that a text such as `budget:ratio=0.35` or `random:seed=0,like=routing.json` stands for.

    `like=FILE` stands for as many heads of each pattern as that routing table has.
    """
    name, _, rest = text.partition(":")
    given: dict[str, str] = {}
    for item in rest.split(",") if rest else []:
        key, _, value = item.partition("=")
        if not value or key in given:
            raise ValueError(f"rule {text!r}: {item!r} must have the form name=value, each name once")
        given[key] = value
    if name == "random" and set(given) == {"seed", "like"}:
        return random_like(RoutingTable.load(Path(given["like"])), seed=_value(given["seed"]))
    return Rule(name=name, parameters={key: _value(value) for key, value in given.items()})


def random_like(table: RoutingTable, *, seed: int) -> Rule:
    """Return the random control with as many heads of each pattern as `table`."""
    numbers = Counter[str]()
    for letter, count in table.counts().items():
        numbers[table.patterns[letter].name] += count
    return Rule(name="random", parameters={"seed": seed, **numbers})


def decide(heads: pd.DataFrame, rule: Rule, *, heads_csv_sha256: str, statistic: str = "kl_mean") -> RoutingTable:
    """Choose a pattern for every head by `rule`, from head statistics in the form of heads.csv.

    The same statistics give the same table, whatever the order of their rows. ValueError if the rule cannot be met.
    """
    return decide_from(losses.of_heads(heads, statistic, heads_csv_sha256), rule)


def decide_from(losses: Losses, rule: Rule) -> RoutingTable:
    """Choose a pattern for every head by `rule`; ValueError if it cannot be met."""
    return table(losses, rule.choose(losses.choices), {"name": rule.name, **rule.parameters})


def table(losses: Losses, chosen: Chosen, rule: Mapping[str, Any]) -> RoutingTable:
    """Return a choice as a routing table; `rule` says how it came about."""
    choices = losses.choices
    letters = _letters(choices.patterns)
    ratios = {"attention_flops_ratio": choices.ratio(chosen)}
    if choices.nanoseconds is not None:
        ratios["attention_seconds_ratio"] = choices.cost_ratio(chosen)
    return RoutingTable(
        model=losses.model,
        weights_sha256=losses.weights_sha256,
        patterns=dict(zip(letters, choices.patterns, strict=True)),
        layers=tuple("".join(letters[number] for number in row) for row in chosen),
        rule={**rule, **ratios},
        probe=losses.record,
        made_with={
            "oasis": __version__,
            "python": platform.python_version(),
            "pandas": pd.__version__,
            "torch": importlib.metadata.version("torch"),
        },
    )


def total(heads: pd.DataFrame, table: RoutingTable, *, statistic: str = "kl_mean") -> float:
    """Return the sum of `statistic` (averaged over the clips) over all heads, each under its pattern in `table`."""
    return total_of(Choices.of(heads, statistic), table)


def total_of(choices: Choices, table: RoutingTable) -> float:
    """Return the sum of the loss over all heads, each under its pattern in `table`."""
    return choices.total(_numbers(choices, table))


def front(heads: pd.DataFrame, *, statistic: str = "kl_mean") -> pd.DataFrame:
    """Return every undominated (attention_flops_ratio, total) that a table can have, cheapest first."""
    choices = Choices.of(heads, statistic)
    dense = int(choices.pairs[0]) * choices.loss[..., 0].size
    points = [(pairs / dense, loss) for pairs, loss in rules.front(choices)]
    return pd.DataFrame(points, columns=["attention_flops_ratio", "total"])


def compare(heads: pd.DataFrame, *, statistic: str = "kl_mean") -> pd.DataFrame:
    """Return one row per rule (rule, heads, attention_flops_ratio, total): all at the cost of equal shares, then uniform.

    The quota of equal shares sets the cost. `budget` and `threshold` (tau in steps of 0.001) may not exceed it; the random
    controls have its numbers of heads.
    """
    choices = Choices.of(heads, statistic)
    size = choices.loss[..., 0].size
    each, left = divmod(size, len(choices.patterns))
    shares = {pattern.name: each + (number < left) for number, pattern in enumerate(choices.patterns)}
    quota = Rule(name="quota", parameters=shares)
    ratio = math.ceil(1e4 * choices.ratio(quota.choose(choices))) / 1e4

    tau = tau_within(choices, ratio)
    tried = [
        Rule(name="budget", parameters={"ratio": ratio}),
        Rule(name="threshold", parameters={"tau": tau}),
        quota,
        *(Rule(name="random", parameters={"seed": seed, **shares}) for seed in range(3)),
        *(Rule(name="uniform", parameters={"pattern": pattern.name}) for pattern in choices.patterns),
    ]
    rows = []
    for rule in tried:
        chosen = rule.choose(choices)
        counts = [int((chosen == number).sum()) for number in range(len(choices.patterns))]
        rows.append((str(rule), counts, choices.ratio(chosen), choices.total(chosen)))
    return pd.DataFrame(rows, columns=["rule", "heads", "attention_flops_ratio", "total"])


def tau_within(choices: Choices, ratio: float) -> float:
    """Return the lowest tau of `threshold`, in steps of 0.001, that costs at most `ratio` of dense."""

    def cheap(thousandths: int) -> bool:
        return choices.cost_ratio(rules.threshold(choices, thousandths / 1000)) <= ratio

    highest = math.ceil(1000 * float(choices.loss.max())) + 1
    return bisect.bisect_left(range(highest), True, key=cheap) / 1000


def _letters(patterns: Sequence[Pattern]) -> list[str]:
    """Return G, F, W, N, S for the first pattern of each kind, then X, Y, Z, A, B, ... for the others, in their order."""
    usual = {kind: kind[0].upper() for kind in get_args(Kind)}
    others = iter("XYZ" + "".join(sorted(set(string.ascii_uppercase) - {*"XYZ", *usual.values()})) + string.ascii_lowercase)
    return [usual.pop(pattern.kind) if pattern.kind in usual else next(others) for pattern in patterns]


def _numbers(choices: Choices, table: RoutingTable) -> Chosen:
    if (len(table.layers), table.heads) != choices.loss.shape[:2]:
        layers, heads = choices.loss.shape[:2]
        raise ValueError(
            f"the table has {len(table.layers)} layers of {table.heads} heads, the head statistics {layers} of {heads}"
        )
    return np.array([[choices.index(p.name) for p in table.layer_patterns(layer)] for layer in range(len(table.layers))])


def _names_pattern(name: str) -> bool:
    try:
        return name in get_args(Kind) or bool(parse_pattern(name))
    except ValueError:
        return False


def _value(text: str) -> Any:
    for convert in (int, float):
        try:
            return convert(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text, text)
