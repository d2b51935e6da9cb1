"""Which heads are changed: every one alone, every layer as a whole, and a drawn sample of pairs."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from oasis.harms import ALL, Kind
from oasis.routing import Pattern, parse_pattern


@dataclass(frozen=True, kw_only=True)
class Variant:
    """Heads, as (layer, head), that change together, and the pattern that each is given."""

    kind: Kind
    heads: tuple[tuple[int, int], ...]
    patterns: tuple[str, ...]

    @property
    def first(self) -> int:
        """The layer where the change begins."""
        return min(layer for layer, _ in self.heads)

    @property
    def changes(self) -> dict[tuple[int, int], Pattern]:
        """The pattern of every changed head."""
        return {head: parse_pattern(name) for head, name in zip(self.heads, self.patterns, strict=True)}

    @property
    def names(self) -> tuple[str, str, str]:
        """The layers, heads and patterns of a row of harm."""
        if self.kind == "layer":
            return str(self.first), ALL, self.patterns[0]
        layers, heads = zip(*self.heads, strict=True)
        return _listed(layers), _listed(heads), ",".join(self.patterns)


def variants(layers: int, heads: int, patterns: Sequence[str], *, pairs: int, seed: int) -> list[Variant]:
    """Return all single heads, then all layers, then `pairs` pairs, fewer where there are not so many.

    Half of the pairs lie in one layer, half in two; each head of a pair has a pattern of its own, drawn with the pair.
    """
    every = list(itertools.product(range(layers), range(heads)))
    found = [Variant(kind="head", heads=(head,), patterns=(name,)) for head in every for name in patterns]
    for layer, name in itertools.product(range(layers), patterns):
        whole = tuple((layer, head) for head in range(heads))
        found.append(Variant(kind="layer", heads=whole, patterns=(name,) * heads))
    couples = list(itertools.combinations(every, 2))
    strata = [[couple for couple in couples if (couple[0][0] == couple[1][0]) == same] for same in (True, False)]
    generator = np.random.default_rng(seed)
    for stratum, wanted in zip(strata, (pairs - pairs // 2, pairs // 2), strict=True):
        options = len(stratum) * len(patterns) ** 2
        for number in sorted(generator.choice(options, size=min(wanted, options), replace=False)) if options else ():
            couple, which = divmod(int(number), len(patterns) ** 2)
            given = tuple(patterns[one] for one in divmod(which, len(patterns)))
            found.append(Variant(kind="pair", heads=stratum[couple], patterns=given))
    return found


def _listed(numbers: Sequence[int]) -> str:
    return ",".join(map(str, numbers))
