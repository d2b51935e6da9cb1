"""What a rule makes of a table and of its resamples, which heads change between two tables, and what that loses."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from oasis import rules
from oasis.decide import Rule
from oasis.rules import Choices
from oasis.stability.tables import HeadTable

Chosen = Int[np.ndarray, "*resamples heads"]
Loss = Float[np.ndarray, "*resamples heads patterns"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Front:
    """Every undominated (attended pairs, loss) of a table, cheapest first: what its own best routing loses at any cost."""

    pairs: Int[np.ndarray, "points"]
    loss: Float[np.ndarray, "points"]

    @classmethod
    def of(cls, choices: Choices) -> "Front":
        """Find the front of a table."""
        pairs, loss = zip(*rules.front(choices), strict=True)
        return cls(pairs=np.array(pairs, np.int64), loss=np.array(loss))

    def best(self, pairs: Int[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
        """Return the least loss of at most so many pairs, which must be within reach."""
        return self.loss[np.searchsorted(self.pairs, pairs, side="right") - 1]


@dataclass(frozen=True, kw_only=True, eq=False)
class Routed:
    """A table under a rule, heads flattened by layer: the choice from all clips and, in axis 0, from every resample."""

    pairs: Int[np.ndarray, "patterns"]
    chosen: Int[np.ndarray, "heads"]
    loss: Float[np.ndarray, "heads patterns"]
    front: Front
    drawn: Int[np.ndarray, "resamples heads"]
    drawn_loss: Float[np.ndarray, "resamples heads patterns"]
    drawn_fronts: Sequence[Front]


def route(table: HeadTable, rule: Rule, statistic: str, weights: Float[np.ndarray, "resamples clips"]) -> Routed:
    """Decide a table by a rule, from all its clips and from every resample; ValueError names the table if it cannot be."""
    whole = table.choices(table.loss[statistic])
    resampled = [table.choices(loss) for loss in table.means(statistic, weights)]
    try:
        chosen, drawn = rule.choose(whole), [rule.choose(choices) for choices in resampled]
    except ValueError as error:
        raise ValueError(f"table {table.name!r}: {error}") from error
    return Routed(
        pairs=table.pairs,
        chosen=chosen.ravel(),
        loss=_flat(whole),
        front=Front.of(whole),
        drawn=np.stack(drawn).reshape(len(drawn), -1),
        drawn_loss=np.stack([_flat(choices) for choices in resampled]),
        drawn_fronts=[Front.of(choices) for choices in resampled],
    )


def changed(one: Chosen, other: Chosen) -> Float[np.ndarray, "*resamples"]:
    """Return the share of heads whose pattern differs."""
    return (one != other).mean(axis=-1)


def regret(
    chosen: Int[np.ndarray, "heads"],
    loss: Float[np.ndarray, "heads patterns"],
    pairs: Int[np.ndarray, "patterns"],
    front: Front,
) -> tuple[float, float]:
    """Return what a choice loses in a table against the table's own best at no more FLOPs, and that as a share.

    The first is in units of the statistic, summed over heads. The share is of what the own best gains over the same patterns
    placed at random (their expected loss): 0 as good as the own best, 1 as good as random, above 1 worse.
    """
    kept = total(chosen, loss)
    best = float(front.best(pairs[chosen].sum()))
    gained = float(loss.mean(axis=0)[chosen].sum()) - best
    lost = kept - best
    # Where nothing can be gained every placement is equally good, so nothing is lost either.
    return lost, lost / gained if lost > 0 else 0.0


def total(chosen: Int[np.ndarray, "heads"], loss: Float[np.ndarray, "heads patterns"]) -> float:
    """Return the summed loss of a choice, added from the last head to the first.

    That is the order of `rules.front`, so that no rounding can put a choice below the front.
    """
    return float(np.cumsum(np.take_along_axis(loss, chosen[:, None], axis=1)[::-1])[-1])


def _flat(choices: Choices) -> Float[np.ndarray, "heads patterns"]:
    return choices.loss.reshape(-1, len(choices.patterns))
