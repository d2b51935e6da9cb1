"""How many clips are enough: what some of the clips of a table say, against all of them and against as many others."""

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from einops import rearrange

from oasis.rules import Choices
from oasis.stability import ranks
from oasis.stability.resampled import Request
from oasis.stability.routed import Front, changed, regret
from oasis.stability.tables import HeadTable

Clips = tuple[int, ...]
DRAWS = 100
"""Choices of clips per number of clips; all of them where there are no more."""
COLUMNS = ["against", "clips", "pattern", "measure", "mean", "low", "high", "draws"]


def curve(table: HeadTable, request: Request) -> pd.DataFrame:
    """Return, for k clips drawn without replacement, how alike they are to all clips and to k others, in COLUMNS.

    `against` "all": k of n clips against the whole table, of which they are a part: an upper bound of how good k clips are,
    which ends at 1 by construction. `against` "others": k clips against k other clips (disjoint, so k is at most n/2), which is
    what k clips say about clips that were not seen. Measures are `spearman` per pattern, `same` (share of heads of equal
    pattern) and `regret_share` of the k clips' routing in the other statistics. `mean`, and `low` and `high`, which hold 95 %
    of the draws; draws overlap, so this is no confidence interval.
    """
    clips = len(table.clips)
    rows: list[tuple[object, ...]] = []
    for count in range(1, clips):
        whole = tuple(range(clips))
        rows += _summed(table, request, "all", count, [(part, whole) for part in _parts(clips, count, request.seed)])
        if 2 * count <= clips:
            rows += _summed(table, request, "others", count, _disjoint(clips, count, request.seed))
    return pd.DataFrame(rows, columns=COLUMNS)


def needed(agreement: float, clips: int, wanted: float) -> float:
    """Return how many clips two sets need to agree at `wanted`, given the `agreement` of two sets of `clips` clips.

    The Spearman-Brown formula, which holds for Pearson's correlation of sums of parallel parts; for ranks it is a guide.
    """
    return math.inf if agreement <= 0 else clips * wanted * (1 - agreement) / (agreement * (1 - wanted))


def _parts(clips: int, count: int, seed: int) -> list[Clips]:
    if math.comb(clips, count) <= DRAWS:
        return list(itertools.combinations(range(clips), count))
    generator = np.random.default_rng([seed, count])
    return [tuple(generator.permutation(clips)[:count].tolist()) for _ in range(DRAWS)]


def _disjoint(clips: int, count: int, seed: int) -> list[tuple[Clips, Clips]]:
    every = math.comb(clips, count) * math.comb(clips - count, count)
    if every <= DRAWS:
        firsts = itertools.combinations(range(clips), count)
        return [
            (one, other)
            for one in firsts
            for other in itertools.combinations([clip for clip in range(clips) if clip not in one], count)
        ]
    generator = np.random.default_rng([seed, count, 2])
    drawn = [tuple(generator.permutation(clips)[: 2 * count].tolist()) for _ in range(DRAWS)]
    return [(each[:count], each[count:]) for each in drawn]


def _summed(
    table: HeadTable, request: Request, against: str, count: int, drawn: Sequence[tuple[Clips, Clips]]
) -> Iterator[tuple[object, ...]]:
    parts = {clips: _Part(table, request, clips) for clips in dict.fromkeys(itertools.chain.from_iterable(drawn))}
    compared = [parts[one].against(parts[other]) for one, other in drawn]
    names = [(pattern.name, "spearman") for pattern in table.patterns[1:]] + [("", "same"), ("", "regret_share")]
    for (pattern, measure), values in zip(names, np.array(compared).T, strict=True):
        low, high = np.quantile(values, [0.025, 0.975])
        yield against, count, pattern, measure, float(values.mean()), float(low), float(high), len(values)


class _Part:
    """Some clips of a table: means and routing."""

    def __init__(self, table: HeadTable, request: Request, clips: Clips) -> None:
        loss = table.values[request.statistic][list(clips)].mean(axis=0).clip(min=0)
        choices: Choices = table.choices(loss)
        self.pairs = table.pairs
        self.loss = rearrange(loss, "layers heads patterns -> (layers heads) patterns")
        self.chosen = request.rule.choose(choices).ravel()
        self.front = Front.of(choices)

    def against(self, other: "_Part") -> list[float]:
        """Return the rank correlation per pattern, the share of equal choices and the share that is lost."""
        alike = ranks.spearman(self.loss.T[1:], other.loss.T[1:])
        lost = regret(self.chosen, other.loss, other.pairs, other.front)[1]
        return [*alike.tolist(), 1 - float(changed(self.chosen, other.chosen)), lost]
