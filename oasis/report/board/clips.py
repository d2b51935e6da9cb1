"""Which clips a data set has, so that a missing one is seen."""

from collections.abc import Iterable
from functools import lru_cache

from oasis import cards


@lru_cache
def of_card(dataset: str) -> tuple[str, ...] | None:
    """Return the clips that the data set's card names, None where there is no card or it takes them from a folder."""
    return cards.load(dataset).clips.names if dataset in cards.names() else None


def expected(dataset: str, present: Iterable[str]) -> tuple[str, ...]:
    """Return the clips that a complete result has, sorted: those of the card, else `present`, all that any method has."""
    return tuple(sorted(of_card(dataset) or present))
