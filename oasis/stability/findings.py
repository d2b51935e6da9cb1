"""Sentences about stability with their effect sizes and intervals, made from the rows."""

from collections.abc import Iterator, Sequence

import pandas as pd

from oasis.bootstrap import LEAST_CLIPS
from oasis.report.chapters import Finding, Verdict
from oasis.stability import enough
from oasis.stability.compared import CHANCE
from oasis.stability.resampled import Resampled
from oasis.stability.transfer import ALL

ALIKE = 0.9
"""Rank correlation from which on two tables rank heads alike; a convention, as is COSTLY_SHARE."""
LOSES = 0.1
"""Regret, as a share of what the statistics gain over a random placement, from which on a routing does not carry over."""
FEW = 6
"""Clips below which intervals are rough."""


def sure(intervals: pd.DataFrame, reference: Resampled) -> Iterator[Finding]:
    """Say how wide the intervals of the reference's heads are."""
    name, clips = reference.name, reference.clips
    if clips < LEAST_CLIPS:
        yield Finding(text=f"{name} has {clips} clips; intervals need at least {LEAST_CLIPS}.", verdict="limit")
        return
    rows = intervals[(intervals["table"] == name) & (intervals["mean"] > 0)]
    for pattern, part in rows.groupby("pattern", sort=False):
        arm = (part["high"] - part["low"]) / 2 / part["mean"]
        yield Finding(
            text=f"A head's mean over {clips} clips of {name} is known to ±{arm.median():.0%} in the median head and to "
            f"±{arm.quantile(0.9):.0%} in nine of ten (half of the 95 % interval, {pattern}, {len(part)} heads).",
            verdict="shown",
        )


def halves(curve: pd.DataFrame, reference: Resampled) -> Iterator[Finding]:
    """Say what one half of the reference's clips tells about the other."""
    rows = curve[curve["against"] == "others"]
    if rows.empty:
        yield Finding(text=f"{reference.name} has one clip; how far other clips agree cannot be told.", verdict="limit")
        return
    count = rows["clips"].max()
    last = rows[rows["clips"] == count]
    ranked = last[last["measure"] == "spearman"].sort_values("mean")
    for row in ranked.itertuples():
        more = enough.needed(row.mean, count, ALIKE)
        ahead = f"by the Spearman-Brown formula two sets of about {more:.1f} clips would agree at {ALIKE}"
        yield Finding(
            text=f"{count} clips of {reference.name} rank the heads as {count} others do: Spearman {row.mean:.2f} "
            f"({row.low:.2f} to {row.high:.2f} in 95 % of {row.draws} splits, {row.pattern}); {ahead}.",
            verdict=_above(row.low, row.high, ALIKE),
        )
    same, lost = (last[last["measure"] == measure].iloc[0] for measure in ("same", "regret_share"))
    yield Finding(
        text=f"{count} clips give {same['mean']:.0%} ({same['low']:.0%} to {same['high']:.0%}) of the heads the pattern that "
        f"{count} others give; in the others' statistics their routing loses {lost['mean']:.1%} ({lost['low']:.1%} to "
        f"{lost['high']:.1%}) of what is to gain over a random placement.",
        verdict=_below(lost["low"], lost["high"], LOSES),
    )


def between(pairs: pd.DataFrame, tables: Sequence[Resampled], reference: Resampled) -> Iterator[Finding]:
    """Say, axis by axis, how tables differ: ranks, patterns, regret; the worst pair of each axis counts."""
    axes: dict[str, list[tuple[str, str]]] = {}
    for each in tables:
        if each.name != reference.name:
            axes.setdefault(each.table.axis, []).extend((held, each.name) for held in _held_against(each, tables, reference))
    for axis, wanted in axes.items():
        about = f"{axis or 'Tables'} ({', '.join(dict.fromkeys(name.removeprefix(f'{axis}/') for _, name in wanted))})"
        rows = pairs[[(a, b) in wanted or (b, a) in wanted for a, b in zip(pairs["a"], pairs["b"], strict=True)]]
        one_way = pairs[[pair in wanted for pair in zip(pairs["a"], pairs["b"], strict=True)]]
        yield from _ranks(rows.dropna(subset="value"), about)
        yield from _patterns(rows.dropna(subset="value"), about)
        yield from _regret(one_way[one_way["measure"] == "regret_share"], about)


def _held_against(each: Resampled, tables: Sequence[Resampled], reference: Resampled) -> list[str]:
    """Return the reference, or, for a part of its clips, which agrees by construction, the other parts of the axis."""
    clips = set(each.table.clips)
    if not clips < set(reference.table.clips):
        return [reference.name]
    parts = [other.name for other in tables if other.table.axis == each.table.axis and not clips & set(other.table.clips)]
    return parts or [reference.name]


def _ranks(rows: pd.DataFrame, about: str) -> Iterator[Finding]:
    ranked = rows[rows["measure"] == "spearman"]
    if ranked.empty:
        return
    worst = ranked.loc[ranked["value"].idxmin()]
    chance = _chance(rows, worst)
    said = f"; two drawings of the clips of one table reach {_with_interval(chance, '.2f')}" if chance is not None else ""
    yield Finding(
        text=f"{about}: tables rank the heads alike with Spearman {_with_interval(worst, '.2f')} at the least "
        f"({worst['a']} and {worst['b']}, {worst['pattern']}){said}.",
        verdict=_above(worst["low"], worst["high"], ALIKE),
    )


def _patterns(rows: pd.DataFrame, about: str) -> Iterator[Finding]:
    shares = rows[rows["measure"] == "changed"]
    worst = shares.loc[shares["value"].idxmax()]
    changes = f"{about}: at most {_with_interval(worst, '.0%')} of the heads change pattern ({worst['a']} and {worst['b']})"
    chance = _chance(rows, worst)
    if chance is None:
        yield Finding(text=f"{changes}; there are too few clips to say what chance is.", verdict="limit")
        return
    if worst["low"] > chance["high"]:
        said: tuple[str, Verdict] = ("more than other clips alone would change", "against")
    elif worst["high"] <= chance["high"]:
        said = ("no more than other clips would change", "shown")
    else:
        said = ("whether that is more than other clips would change is not told", "not shown")
    by_chance = f"between two drawings of the clips of one table {_with_interval(chance, '.0%')} do"
    yield Finding(text=f"{changes}, {by_chance}: {said[0]}.", verdict=said[1])


def _regret(shares: pd.DataFrame, about: str) -> Iterator[Finding]:
    worst = shares.loc[shares["value"].idxmax()]
    yield Finding(
        text=f"{about}: a routing decided on one table loses at most {_with_interval(worst, '.1%')} of what the other's own "
        f"best of no more FLOPs gains over a random placement (decided on {worst['a']}, judged on {worst['b']}).",
        verdict=_below(worst["low"], worst["high"], LOSES),
    )


def carried(transfer: pd.DataFrame) -> Iterator[Finding]:
    """Say which of KL and KL / log(N/|S|) carries over better to each other grid."""
    rows = transfer[(transfer["pattern"] == ALL)].set_index(["b", "statistic", "measure"])
    for name in dict.fromkeys(transfer["b"]):
        nats, share, apart = (rows.loc[(name, each, "error")] for each in ("kl_mean", "kl_rel", "kl_mean - kl_rel"))
        slopes = [rows.loc[(name, each, "slope")] for each in ("kl_mean", "kl_rel")]
        told = apart["low"] > 0 or apart["high"] < 0
        better = "KL / log(N/|S|)" if apart["value"] > 0 else "KL in nats"
        verb = "carries over better" if told else "seems to carry over better, but that is not told"
        yield Finding(
            text=f"To the grid of {name}, {better} {verb}: heads differ by {nats['value']:.1%} of their level in KL and by "
            f"{share['value']:.1%} in KL / log(N/|S|), {100 * apart['value']:+.1f} points ({100 * apart['low']:+.1f} to "
            f"{100 * apart['high']:+.1f}); slopes {_with_interval(slopes[0], '.2f')} and {_with_interval(slopes[1], '.2f')}.",
            verdict="shown" if told else "not shown",
        )


def limits(tables: Sequence[Resampled]) -> Iterator[Finding]:
    """Say what these tables cannot tell."""
    few = [each.name for each in tables if each.clips < FEW]
    if few:
        yield Finding(text=f"Fewer than {FEW} clips, so that intervals are rough: {', '.join(few)}.", verdict="limit")
    clips = {clip for each in tables for clip in each.table.clips}
    yield Finding(
        text=f"All of this is about {len(clips)} clips and what resembles them. Intervals say what other clips of their kind "
        "would change; that the clips are such a sample is assumed, not measured.",
        verdict="limit",
    )


def _above(low: float, high: float, bound: float) -> Verdict:
    return "shown" if low >= bound else "against" if high < bound else "not shown"


def _below(low: float, high: float, bound: float) -> Verdict:
    return "shown" if high <= bound else "against" if low > bound else "not shown"


def _chance(rows: pd.DataFrame, row: pd.Series) -> pd.Series | None:
    """Return the row of the same measure between two drawings of clips, where there are enough clips to tell."""
    same = (rows["a"] == row["a"]) & (rows["b"] == row["b"]) & (rows["pattern"] == row["pattern"])
    found = rows[same & (rows["measure"] == f"{row['measure']}{CHANCE}")]
    return None if found.empty else found.iloc[0]


def _with_interval(row: pd.Series, form: str) -> str:
    value, low, high = (format(float(row[name]), form) for name in ("value", "low", "high"))
    return f"{value} (no interval)" if row[["low", "high"]].isna().any() else f"{value} ({low} to {high})"
