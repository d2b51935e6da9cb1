"""What every head may become, and the rules that choose: arrays in, one pattern number per head out."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import get_args

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from oasis.cost import attended_pairs
from oasis.grid import Grid
from oasis.heads import KEY, check_heads
from oasis.routing import GLOBAL, Kind, Pattern, parse_pattern

STATISTICS = ("kl_mean", "kl_p50", "kl_p95", "kl_rel", "out_err")
"""Columns of heads.csv that can be minimised: 0 for a global head, more for a head that loses more."""

Chosen = Int[np.ndarray, "layers heads"]
"""The number of the pattern of every head, an index into `Choices.patterns`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Choices:
    """What every head may become: the input of every rule.

    `patterns`: global first, then by kind and size; this order is the last tie-break of every rule, so that global wins
    where a pattern covers the whole grid. `pairs`: (query, key) pairs that one head of each pattern attends to. `loss`: the
    statistic, averaged over the clips; 0 for global. `nanoseconds`: what one head of each pattern takes, where a rule is to
    count time instead of FLOPs.
    """

    patterns: tuple[Pattern, ...]
    pairs: Int[np.ndarray, "patterns"]
    loss: Float[np.ndarray, "layers heads patterns"]
    nanoseconds: Int[np.ndarray, "patterns"] | None = None

    @classmethod
    def of(cls, heads: pd.DataFrame, statistic: str = "kl_mean") -> "Choices":
        """Reduce head statistics, whatever the order of their rows, to one number per layer, head and pattern."""
        if statistic not in STATISTICS:
            raise ValueError(f"statistic {statistic!r} is unknown; allowed: {', '.join(STATISTICS)}")
        check_heads(heads)
        local = sorted((parse_pattern(name) for name in heads["pattern"].unique()), key=_order)
        rank = {pattern.name: number for number, pattern in enumerate(local)}
        ordered = heads.assign(pattern=heads["pattern"].map(rank)).sort_values(KEY)
        shape = (ordered["layer"].nunique(), ordered["head"].nunique(), len(local), -1)
        mean = ordered[statistic].to_numpy(np.float64).reshape(shape).mean(axis=-1)
        # Rounding may leave a KL a hair below zero; it must not look better than global.
        loss = np.concatenate([np.zeros_like(mean[..., :1]), mean.clip(min=0)], axis=-1)
        grid = Grid(*(int(heads[axis].iloc[0]) for axis in ("T", "H", "W")))
        patterns = (replace(GLOBAL, text=local[0].text), *local)
        return cls(patterns=patterns, pairs=np.array([attended_pairs(p, grid) for p in patterns], np.int64), loss=loss)

    @property
    def cost(self) -> Int[np.ndarray, "patterns"]:
        """What one head of each pattern costs, in whole numbers, so that sums of it are exact: attended pairs, or time."""
        return self.pairs if self.nanoseconds is None else self.nanoseconds

    def limit(self, ratio: float) -> int:
        """Return the highest cost of a whole choice that is at most `ratio` of dense."""
        return math.floor(Fraction(str(ratio)) * int(self.cost[0]) * self.loss[..., 0].size)

    def index(self, name: str) -> int:
        """Return the number of the pattern of this name, its text perhaps left out, or of this kind if only one is of it."""
        named = [i for i, p in enumerate(self.patterns) if name in (p.name, replace(p, text=0).name)]
        found = named or [i for i, p in enumerate(self.patterns) if p.kind == name]
        if len(found) != 1:
            problem = "stands for several patterns" if found else "is not in the head statistics"
            raise ValueError(f"pattern {name!r} {problem}; allowed: {', '.join(p.name for p in self.patterns)}")
        return found[0]

    def ratio(self, chosen: Chosen) -> float:
        """Return the attention FLOPs of a choice as a share of dense attention, in (0, 1]."""
        return int(self.pairs[chosen].sum()) / (int(self.pairs[0]) * chosen.size)

    def cost_ratio(self, chosen: Chosen) -> float:
        """Return the cost of a choice as a share of dense attention: the ratio that rules keep to."""
        return int(self.cost[chosen].sum()) / (int(self.cost[0]) * chosen.size)

    def total(self, chosen: Chosen) -> float:
        """Return the sum of the statistic over all heads."""
        return math.fsum(np.take_along_axis(self.loss, chosen[..., None], axis=-1).flat)


def threshold(choices: Choices, tau: float) -> Chosen:
    """Choose the cheapest pattern whose loss is below `tau`, else global; at equal cost the one that loses less."""
    allowed = choices.loss < tau
    allowed[..., 0] = True
    chosen = np.zeros(choices.loss.shape[:2], np.int64)
    for head in np.ndindex(chosen.shape):
        chosen[head] = min(np.flatnonzero(allowed[head]), key=lambda p: (choices.cost[p], choices.loss[head][p], p))
    return chosen


def quota(choices: Choices, shares: Mapping[str, float], *, per_layer: bool = False) -> Chosen:
    """Give each pattern its share of the heads, of the network or of every layer.

    The cheapest pattern goes first and takes the heads that lose least by it; the next takes of the others those that lose
    least by *it*; global, the dearest, keeps the rest. So the most local heads get the cheapest pattern.
    """
    loss = choices.loss if per_layer else choices.loss.reshape(1, -1, len(choices.patterns))
    counts = _counts(choices, shares, loss.shape[1])
    dear_last = sorted(range(1, len(counts)), key=lambda p: (choices.cost[p], p))
    chosen = np.zeros(loss.shape[:2], np.int64)
    for row, values in zip(chosen, loss, strict=True):
        free = np.arange(len(row))
        for pattern in dear_last:
            ranked = free[np.argsort(values[free, pattern], kind="stable")]
            row[ranked[: counts[pattern]]] = pattern
            free = np.sort(ranked[counts[pattern] :])
    return chosen.reshape(choices.loss.shape[:2])


def budget(choices: Choices, ratio: float) -> Chosen:
    """Choose the least total loss among all choices of at most `ratio` of the dense cost; then the cheapest of them.

    A multiple-choice knapsack, solved exactly by dynamic programming over undominated (cost, loss) states, which takes
    well under a second for 360 heads of 5 patterns. Floats do not spoil it: rounding is monotone, so a dominated state stays
    dominated, and the result is the optimum of the sums as floats, added from the last head to the first.
    """
    steps = [(cost, choice) for cost, _, choice in _pareto(choices, choices.limit(ratio))]
    cost, _ = steps[-1]
    if not len(cost):
        raise _out_of_reach(choices, ratio)
    left = cost[-1]  # undominated, so the dearest loses least
    chosen = []
    for cost, choice in reversed(steps):
        chosen.append(int(choice[np.searchsorted(cost, left)]))
        left = left - choices.cost[chosen[-1]]
    return np.array(chosen, np.int64).reshape(choices.loss.shape[:2])


def front(choices: Choices) -> list[tuple[int, float]]:
    """Return all undominated (cost, total loss), cheapest first: what `budget` reaches at every ratio."""
    limit = int(choices.cost.max()) * choices.loss[..., 0].size
    for cost, loss, _ in _pareto(choices, limit):
        last = cost, loss
    return [(int(cost), float(value)) for cost, value in zip(*last, strict=True)]


def greedy(choices: Choices, ratio: float) -> Chosen:
    """Start from dense and change, one after the other, what adds least loss for the cost it saves, until `ratio` is met.

    A control of `budget`: the usual heuristic of the knapsack. Ties go to the first head, then to the first pattern.
    """
    loss, limit = choices.loss.reshape(-1, len(choices.patterns)), choices.limit(ratio)
    chosen = np.zeros(len(loss), np.int64)
    while (total := int(choices.cost[chosen].sum())) > limit:
        saved = choices.cost[chosen][:, None] - choices.cost
        added = loss - np.take_along_axis(loss, chosen[:, None], axis=1)
        price = np.divide(added, saved, out=np.full(loss.shape, np.inf), where=saved > 0)
        head, pattern = np.unravel_index(int(price.argmin()), price.shape)
        if not np.isfinite(price[head, pattern]):
            raise _out_of_reach(choices, ratio)
        chosen[head] = pattern
        assert int(choices.cost[chosen].sum()) < total
    return chosen.reshape(choices.loss.shape[:2])


def random_within(choices: Choices, ratio: float, *, seed: int) -> Chosen:
    """Start from dense and give heads in random order a random cheaper pattern each, until `ratio` is met.

    Every head may change again, to one cheaper still, once all have changed. Drawn by NumPy's default generator.
    """
    generator, limit = np.random.default_rng(seed), choices.limit(ratio)
    chosen = np.zeros(choices.loss[..., 0].size, np.int64)
    if int(choices.cost.min()) * chosen.size > limit:
        raise _out_of_reach(choices, ratio)
    while True:
        for head in generator.permutation(chosen.size):
            if int(choices.cost[chosen].sum()) <= limit:
                return chosen.reshape(choices.loss.shape[:2])
            cheaper = np.flatnonzero(choices.cost < choices.cost[chosen[head]])
            if len(cheaper):
                chosen[head] = generator.choice(cheaper)


def random(choices: Choices, shares: Mapping[str, float], *, seed: int) -> Chosen:
    """Give each pattern its share of the heads, drawn by NumPy's default generator."""
    heads = choices.loss[..., 0].size
    numbers = np.repeat(np.arange(len(choices.patterns)), _counts(choices, shares, heads))
    return np.random.default_rng(seed).permutation(numbers).reshape(choices.loss.shape[:2])


def uniform(choices: Choices, pattern: str) -> Chosen:
    """Give every head the same pattern."""
    return np.full(choices.loss.shape[:2], choices.index(pattern), np.int64)


def _pareto(choices: Choices, limit: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield (cost, loss, pattern of the newest head) of the undominated states, after each head from the last to the first.

    Both `cost` and `-loss` rise. Of equal states the one with the first pattern for the newest head stays: hence the first
    choice over the network, as letters in a dictionary.
    """
    flat = choices.loss.reshape(-1, len(choices.patterns))
    costs, loss = np.zeros(1, np.int64), np.zeros(1)
    for number in reversed(range(len(flat))):
        cost = (choices.cost[:, None] + costs).ravel()
        value = (flat[number][:, None] + loss).ravel()
        choice = np.repeat(np.arange(len(choices.patterns), dtype=np.uint8), len(costs))
        possible = np.flatnonzero(cost + number * choices.cost.min() <= limit)
        order = possible[np.lexsort((value[possible], cost[possible]))]  # stable: equal states stay in pattern order
        best_before = np.minimum.accumulate(np.concatenate([[np.inf], value[order]]))[:-1]
        order = order[value[order] < best_before]
        costs, loss = cost[order], value[order]
        yield costs, loss, choice[order]


def _out_of_reach(choices: Choices, ratio: float) -> ValueError:
    least = math.ceil(1e4 * int(choices.cost.min()) / int(choices.cost[0])) / 1e4
    return ValueError(f"budget ratio {ratio} is out of reach; the lowest ratio of these patterns is {least}")


def _counts(choices: Choices, shares: Mapping[str, float], heads: int) -> list[int]:
    """Turn shares into whole numbers of heads by largest remainder, ties in the order of the patterns."""
    wanted = [Fraction(0)] * len(choices.patterns)
    for name, share in shares.items():
        wanted[choices.index(name)] += Fraction(str(share))
    total = sum(wanted, Fraction(0))
    if total != heads and abs(total - 1) > 1e-6:
        raise ValueError(f"shares must add up to 1, or to the {heads} heads, got {float(total):g}")
    exact = [share * heads / total for share in wanted]
    counts = [math.floor(share) for share in exact]
    by_remainder = sorted(range(len(exact)), key=lambda p: (counts[p] - exact[p], p))
    for pattern in by_remainder[: heads - sum(counts)]:
        counts[pattern] += 1
    return counts


def _order(pattern: Pattern) -> tuple[int, tuple[int, ...], bool]:
    numbers = pattern.size or pattern.radius or ((pattern.frames,) if pattern.frames is not None else ())
    return get_args(Kind).index(pattern.kind), numbers, pattern.shift
