"""Do the statistics of heads fall into groups, how many, and are they the kinds of the routing table? Needs no torch."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, silhouette_score
from sklearn.preprocessing import StandardScaler

from oasis.redundancy.rows import Clustering, Grouped
from oasis.routing import RoutingTable

GROUPS = range(2, 8)
ALWAYS = ("entropy_mean", "dist_t", "dist_xy", "self_mass")
DRAWS = 200


class Found(NamedTuple):
    """One row per number of groups, and the group of every head for the number with the best silhouette."""

    clusterings: list[Clustering]
    heads: list[Grouped]


def features(heads: pd.DataFrame, clips: Sequence[str]) -> Float[np.ndarray, "n features"]:
    """Return one standardised row per (layer, head): `kl_rel` of every pattern, entropy, distances, mass on itself.

    Means over `clips`, of which one may be there several times (drawn anew).
    """
    index = ["layer", "head"]
    weights = pd.Series(clips).value_counts()
    taken = heads[heads["clip"].isin(weights.index)]
    share = taken["clip"].map(weights) / len(clips)
    patterns = taken["pattern"].nunique()
    relative = (taken["kl_rel"] * share).groupby([taken["layer"], taken["head"], taken["pattern"]]).sum().unstack()
    always = taken[list(ALWAYS)].mul(share / patterns, axis=0).groupby([taken[name] for name in index]).sum()
    return StandardScaler().fit_transform(np.hstack([relative.to_numpy(), always.to_numpy()]))


def find(heads: pd.DataFrame, table: RoutingTable, *, seed: int) -> Found:
    """Group the heads of a heads.csv by k-means for every number of groups that they allow.

    ValueError if all heads have the same statistics, or there are fewer than four.
    """
    places = sorted(set(zip(heads["layer"], heads["head"], strict=True)))
    if len(places) < 4:
        raise ValueError(f"there are {len(places)} heads; allowed: at least 4, to be grouped")
    kinds = np.array([table.layers[layer][head] for layer, head in places])
    clips = sorted(heads["clip"].unique())
    points = features(heads, clips)
    if len(np.unique(points, axis=0)) < 3:
        raise ValueError("the statistics of all heads are the same; they cannot be grouped")
    drawn = [features(heads, picks) for picks in _resamples(clips, seed)]
    allowed = [k for k in GROUPS if k < len(np.unique(points, axis=0))]
    groups = {k: _grouped(points, k, seed) for k in allowed}
    rows = [_row(k, points, groups[k], kinds, drawn, seed) for k in allowed]
    best = max(rows, key=lambda row: row.silhouette).k
    named = [
        Grouped(layer=layer, head=head, group=int(group), pattern=table.patterns[kind].name)
        for (layer, head), group, kind in zip(places, groups[best], kinds, strict=True)
    ]
    return Found(rows, named)


def _row(
    k: int,
    points: Float[np.ndarray, "n features"],
    groups: Int[np.ndarray, "n"],
    kinds: np.ndarray,
    drawn: list[Float[np.ndarray, "n features"]],
    seed: int,
) -> Clustering:
    generator = np.random.default_rng([seed, k])
    others = [_grouped(sample, k, seed) for sample in drawn]
    agreed = [adjusted_rand_score(kinds, other) for other in others]
    chance = [adjusted_rand_score(generator.permutation(kinds), groups) for _ in range(DRAWS)]
    low, high = np.quantile(agreed, [0.025, 0.975])
    return Clustering(
        k=k,
        silhouette=float(silhouette_score(points, groups)),
        rand=float(adjusted_rand_score(kinds, groups)),
        rand_low=float(low),
        rand_high=float(high),
        rand_chance=float(np.quantile(chance, 0.95)),
        steady=float(np.mean([adjusted_rand_score(groups, other) for other in others])),
    )


def _grouped(points: Float[np.ndarray, "n features"], k: int, seed: int) -> Int[np.ndarray, "n"]:
    """Return groups numbered by the first feature's mean, so that equal groups have equal numbers."""
    found = KMeans(k, n_init=4, random_state=seed).fit(points)
    rank = np.argsort(np.argsort(found.cluster_centers_[:, 0], kind="stable"))
    return rank[found.labels_]


def _resamples(clips: Sequence[str], seed: int, count: int = 50) -> Iterator[list[str]]:
    generator = np.random.default_rng(seed)
    for _ in range(count):
        yield [clips[number] for number in generator.integers(len(clips), size=len(clips))]
