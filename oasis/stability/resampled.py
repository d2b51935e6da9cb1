"""A table with its resamples over clips: means of every head, and what a rule makes of them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from einops import rearrange
from jaxtyping import Float

from oasis import bootstrap
from oasis.decide import Rule
from oasis.stability.routed import Routed, route
from oasis.stability.tables import HeadTable

COSTLY = 200
"""Resamples of what takes long (rules, Kendall's tau): the first ones of all."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """How tables are compared: by which statistic and rule, with how many resamples, drawn from which seed."""

    statistic: str
    rule: Rule
    resamples: int
    seed: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Resampled:
    """A table under a request; everything is computed once, when it is first asked for. Heads are flattened by layer."""

    table: HeadTable
    request: Request

    @property
    def name(self) -> str:
        """The table's name."""
        return self.table.name

    @property
    def clips(self) -> int:
        """How many clips there are."""
        return len(self.table.clips)

    @property
    def local(self) -> list[str]:
        """Names of the patterns without global."""
        return [pattern.name for pattern in self.table.patterns[1:]]

    @cached_property
    def weights(self) -> Float[np.ndarray, "resamples clips"]:
        """The clips' weights in every resample."""
        return bootstrap.weights(self.table.clips, self.request.resamples, self.request.seed)

    @cached_property
    def mean(self) -> Float[np.ndarray, "local heads"]:
        """Means over all clips, of every pattern but global."""
        return self.means(self.request.statistic)

    @cached_property
    def drawn(self) -> Float[np.ndarray, "local resamples heads"]:
        """Means over the clips of every resample."""
        return self.drawn_means(self.request.statistic)

    @cached_property
    def routed(self) -> Routed:
        """What the rule chooses, from all clips and from the first COSTLY resamples."""
        return route(self.table, self.request.rule, self.request.statistic, self.weights[:COSTLY])

    def means(self, statistic: str) -> Float[np.ndarray, "local heads"]:
        """Return means of any statistic over all clips."""
        return rearrange(self.table.loss[statistic][..., 1:], "layers heads local -> local (layers heads)")

    def drawn_means(self, statistic: str) -> Float[np.ndarray, "local resamples heads"]:
        """Return means of any statistic over the clips of every resample."""
        means = self.table.means(statistic, self.weights)[..., 1:]
        return rearrange(means, "resamples layers heads local -> local resamples (layers heads)")

    def places(self) -> pd.DataFrame:
        """Return the table's name, layer and head of every head, in the order of the arrays."""
        layers, heads = self.table.loss[self.request.statistic].shape[:2]
        layer, head = np.divmod(np.arange(layers * heads), heads)
        return pd.DataFrame({"table": self.name, "layer": layer, "head": head})
