"""Which routings are executed: every way to choose heads, at every cost of a ladder."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from oasis import decide, files, losses, rules
from oasis.decide import Rule
from oasis.heads import read_heads
from oasis.losses import Losses
from oasis.routing import RoutingTable
from oasis.rules import Choices, Chosen

LADDER = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
KL, HARM = "kl_mean", "latent_mse"
BUDGETS = {"budget KL": KL, "budget relative KL": "kl_rel", "budget output error": "out_err"} | {
    "budget written change": "write_change",
    "budget harm": HARM,
}
"""The exact knapsack over each of these losses."""
RANDOM, SCATTERED = "random, same numbers", "random, same cost"
WORST = {"inverse KL": KL, "inverse harm": HARM}
SEEDS = 5


@dataclass(frozen=True, kw_only=True)
class Arm:
    """A routing: `name` of the way it was chosen, `ratio` the step of the ladder, `seed` of a draw, `totals` by statistic."""

    name: str
    control: bool
    seed: int | None
    ratio: float | None
    table: RoutingTable
    totals: Mapping[str, float]

    @property
    def flops(self) -> float:
        """Self-attention FLOPs as a share of dense."""
        return float(self.table.rule["attention_flops_ratio"])

    @property
    def heads(self) -> str:
        """How many heads have each pattern, such as "G=12,F=20,W=32"."""
        return ",".join(f"{letter}={count}" for letter, count in self.table.counts().items())


def known(folder: Path) -> dict[str, Losses]:
    """Return what heads lose by every statistic, from the files of `oasis harm`."""
    heads, sha256 = read_heads(folder / "heads.csv"), files.sha256(folder / "heads.csv")
    found = {name: losses.of_heads(heads, name, sha256) for name in (KL, "kl_rel", "out_err")}
    found["write_change"] = losses.of_changes(found[KL], folder / "changes.csv")
    found[HARM] = losses.of_harms(found[KL], folder / "harms.csv", HARM)
    return found


def arms(by: Mapping[str, Losses], *, seeds: int = SEEDS, ladder: tuple[float, ...] = LADDER) -> list[Arm]:
    """Return all arms: those of every step that can be met, cheapest first, then the uniform ones; ValueError if none can."""
    choices = by[KL].choices
    least = int(choices.cost.min()) * choices.loss[..., 0].size
    steps = [ratio for ratio in ladder if choices.limit(ratio) >= least]
    if not steps:
        raise ValueError(
            f"no ratio of {', '.join(map(str, ladder))} can be met by these patterns at the grid {by[KL].grid}; longer clips "
            "or smaller windows can"
        )
    found = [arm for ratio in steps for arm in _step(by, ratio, seeds)]
    for pattern in choices.patterns[1:]:
        rule = Rule(name="uniform", parameters={"pattern": pattern.name})
        found.append(_ruled(by, KL, rule, name=f"uniform {pattern.name}", control=True))
    return found


def _step(by: Mapping[str, Losses], ratio: float, seeds: int) -> Iterator[Arm]:
    """Yield the arms of one step; those that take the numbers of heads of the budget over KL cost the same as it."""
    at = {"ratio": ratio}
    for name, statistic in BUDGETS.items():
        yield _ruled(by, statistic, Rule(name="budget", parameters=at), name=name, ratio=ratio)
    choices = by[KL].choices
    numbers = np.bincount(rules.budget(choices, ratio).ravel(), minlength=len(choices.patterns))
    shares = {pattern.name: int(number) for pattern, number in zip(choices.patterns, numbers, strict=True)}
    tau = {"tau": decide.tau_within(choices, ratio)}
    for name, parameters in (("greedy", at), ("threshold", tau), ("quota", shares)):
        yield _ruled(by, KL, Rule(name=name, parameters=parameters), name=f"{name} KL", ratio=ratio)
    for seed in range(seeds):
        drawn = {RANDOM: Rule(name="random", parameters={"seed": seed, **shares})}
        drawn[SCATTERED] = Rule(name="random-within", parameters={"seed": seed, **at})
        for name, rule in drawn.items():
            yield _ruled(by, KL, rule, name=name, ratio=ratio, seed=seed, control=True)
    for name, statistic in WORST.items():
        worst = rules.quota(_negated(by[statistic].choices), shares)
        yield _arm(by, statistic, worst, {"name": "inverse", **shares}, name=name, ratio=ratio, control=True)


def _ruled(by: Mapping[str, Losses], statistic: str, rule: Rule, **about: Any) -> Arm:
    chosen = rule.choose(by[statistic].choices)
    return _arm(by, statistic, chosen, {"name": rule.name, **rule.parameters}, **about)


def _arm(
    by: Mapping[str, Losses],
    statistic: str,
    chosen: Chosen,
    rule: Mapping[str, Any],
    *,
    name: str,
    ratio: float | None = None,
    seed: int | None = None,
    control: bool = False,
) -> Arm:
    table = decide.table(by[statistic], chosen, rule)
    totals = {each: losses.choices.total(chosen) for each, losses in by.items()}
    return Arm(name=name, control=control, seed=seed, ratio=ratio, table=table, totals=totals)


def _negated(choices: Choices) -> Choices:
    """Return choices whose quota gives the cheapest patterns to the heads that lose most by them."""
    return replace(choices, loss=-choices.loss)
