"""Is a contributed card with its score files right, and does it fit beside what is there?"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from oasis import methods
from oasis.report.board import rows, scorefile, statistics
from oasis.report.board.rows import Rows


def folder(results: Path, cards: Path) -> Iterator[str]:
    """Yield what a whole folder of reports holds, and what is not compared; ValueError for what is refused."""
    loaded = rows.load(results, cards)
    yield from _said(loaded, statistics.summary(loaded.scores))
    without = sorted(set(loaded.cards) - set(loaded.scores["method"].cat.categories))
    if without:
        yield f"note: cards without scores: {', '.join(without)}"


def contribution(card: Path, scores: Sequence[Path], results: Path, cards: Path) -> Iterator[str]:
    """Yield what one card and its score files would add; ValueError says in a sentence what is wrong with them.

    Files that lie in the folders already are checked in their place; others as if they were put into results/others.
    """
    added = methods.load(card)
    known = methods.load_all(cards)
    if added != known.get(added.name, added):
        raise ValueError(
            f"{card}: field 'name' is {added.name!r}, which another card in {cards} has; allowed: a new name, or that very card"
        )
    if not scores:
        raise ValueError(f"{card}: no score file was given; allowed: --check CARD.yaml SCORES.csv")
    for path in scores:
        method = scorefile.read(path).fingerprint.get("method")
        if method != added.name:
            raise ValueError(f"{path}: its method is {method!r}; allowed: {added.name!r}, the name of {card}")
    given = {path.resolve() for path in scores}
    found = [(path, kind) for name, kind in rows.KINDS.items() for path in sorted((results / name).glob("*.csv"))]
    inside = {path.resolve() for path, _ in found}
    found += [(path, "measured by others") for path in scores if path.resolve() not in inside]
    loaded = rows.assemble(results, found, known | {added.name: added})
    names = {name for path, name in ((path, rows.relative(path, results)) for path, _ in found) if path.resolve() in given}
    summary = statistics.summary(loaded.scores)
    yield from _said(loaded, summary[summary["file"].isin(names)], names)


def _said(loaded: Rows, summary: pd.DataFrame, names: set[str] | None = None) -> Iterator[str]:
    for (method, dataset, kind), part in summary.groupby(["method", "dataset", "kind"], sort=True):
        short = part[~part["complete"]]
        measures, clips = len(part), part["n_expected"].iloc[0]
        whole = f"{measures - len(short)} of {measures} measures have all {clips} clips"
        yield f"{method} on {dataset}, {kind}: {whole}"
        for row in short.to_dict("records"):
            yield f"note: {row['measure']} has {row['n_ok']} of {row['n_expected']} clips: shown without mean and rank"
    for problem in loaded.problems:
        if names is None or problem.split(": ")[0] in names:
            yield f"note: {problem}"
