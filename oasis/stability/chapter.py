"""Tables of head statistics become a chapter: rows, figures, findings and a page."""

import json
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

import oasis
from oasis import decide, files
from oasis.decide import STATISTICS
from oasis.report.chapters import Chapter, Finding, Picture, Table, write_chapter
from oasis.stability import compared, enough, figures, findings, tables, transfer
from oasis.stability.resampled import COSTLY, Request, Resampled

RULE = "budget:ratio=0.5"
RESAMPLES = 1000
LEAST_RESAMPLES = 40
"""So that one resample lies beyond each bound of 95 %."""
QUESTION = (
    "Is the statistic that heads are routed by, and the routing that follows, a property of the heads: the same on other "
    "clips, data, degradations, sizes, lengths, seeds and weights?"
)
TERMS = {
    "interval": "95 %, by resampling clips (weighted bootstrap); arms are stretched for few clips. Means have percentile "
    "intervals; what noise pulls one way (rank correlations, differences) has basic ones, which take that off and may lie "
    "mostly on one side of the number; those of what follows from decisions, which jump (changed, kappa, regret), are widened "
    "to hold 95 % of the resamples. Tables that hold clips of the same names are resampled alike.",
    "Spearman, Kendall": "Rank correlation of the heads between two tables: 1 is the same order, 0 none. Kendall is tau-b.",
    "changed": "Share of heads that the rule gives another pattern; Cohen's kappa beside it is agreement above chance.",
    "at most, at the least": "The worst table of several; its interval does not know that it was picked.",
    "chance": "The same measure between two drawings of the clips of one table, of the less stable of the two; bounds hold "
    "95 % of the drawings. Where both tables hold the same clips it is a yardstick: the chance of that pair is smaller.",
    "regret": "What the routing of one table loses in the statistics of another, against that one's own best of no more FLOPs; "
    "as a share of what the own best gains over the same patterns placed at random (0 as good, 1 as random). Under a budget it "
    "is 0 between equal tables; another rule brings along what it loses by itself. Patterns cost other shares of dense on "
    "another grid, so that there a budget may choose otherwise even where the heads are the same.",
    "k clips against others": "Two disjoint sets of k clips: what clips say about clips that were not seen. Against all clips, "
    "of which they are a part, agreement ends at 1 by construction and is an upper bound.",
    "KL / log(N/|S|)": "KL as a share of what a head scores that looks everywhere equally (kl_rel). Within a pattern it ranks "
    "heads as KL does.",
    "slope, error": "Least-squares slope of the heads of one grid over those of the other (noise pulls it below 1); mean "
    "|difference| over the mean level.",
}

CAPTIONS = {
    "intervals": "every head's mean over clips with its interval",
    "changed": "the pattern of every head under every table; same: as under the reference, kept: share of resamples",
    "enough": "k clips against all clips and against k others",
    "pairs": "every measure between every two tables",
    "transfer": "KL and KL / log(N/|S|) on another grid",
}


def write(
    paths: Mapping[str, Path],
    folder: Path,
    *,
    rule: str = RULE,
    statistic: str = "kl_mean",
    resamples: int = RESAMPLES,
    seed: int = 0,
    reference: str | None = None,
    trained: bool | None = None,
    command: str = "",
) -> None:
    """Compare tables of head statistics (heads.csv) by name and write the chapter into `folder`, whole or not at all.

    `reference` is the table that the others are held against, by default the first. Names of the form AXIS/NAME group
    tables. `trained` says whether the reference's weights are; without it run.json beside its table says so, if it is there,
    else the model's name. Equal tables and settings give equal bytes. ValueError says what does not fit.
    """
    request = _request(rule, statistic, resamples, seed)
    found = [Resampled(table=table, request=request) for table in tables.read(paths)]
    names = [each.name for each in found]
    if reference is not None and reference not in names:
        raise ValueError(f"reference {reference!r} is none of the tables; allowed: {', '.join(names)}")
    held = found[0 if reference is None else names.index(reference)]
    with files.replacing_folder(folder) as temporary:
        rows = _rows(found, held)
        for name, frame in rows.items():
            frame.to_csv(temporary / f"{name}.csv", index=False, float_format="%.9g", lineterminator="\n")
        shown = _pictures(rows, found, held)
        chapter = Chapter(
            title="Stability of head statistics and routing",
            question=QUESTION,
            findings=_findings(rows, found, held),
            terms=TERMS,
            pictures=[Picture(name=name, alt=alt, caption=caption) for name, (_, alt, caption) in shown.items()],
            tables=[Table(file=f"{name}.csv", caption=CAPTIONS[name]) for name in rows],
            record=_record(found, held, command),
            trained=_trained(paths[held.name], held.table.model) if trained is None else trained,
        )
        write_chapter(temporary, chapter, {name: figure for name, (figure, _, _) in shown.items()})


def _trained(table: Path, model: str) -> bool:
    try:
        return bool(json.loads(table.with_name("run.json").read_text(encoding="utf-8"))["trained"])
    except (OSError, ValueError, KeyError, TypeError):
        return not model.startswith("random-")


def _request(rule: str, statistic: str, resamples: int, seed: int) -> Request:
    if statistic not in STATISTICS:
        raise ValueError(f"statistic {statistic!r} is unknown; allowed: {', '.join(STATISTICS)}")
    if resamples < LEAST_RESAMPLES:
        raise ValueError(f"resamples is {resamples}; allowed: a whole number of at least {LEAST_RESAMPLES}")
    if seed < 0:
        raise ValueError(f"seed is {seed}; allowed: a whole number of at least 0")
    return Request(statistic=statistic, rule=decide.parse_rule(rule), resamples=resamples, seed=seed)


def _rows(found: Sequence[Resampled], reference: Resampled) -> dict[str, pd.DataFrame]:
    """Return every table of the chapter by name; those between tables only where there are several."""
    rows = {"intervals": compared.intervals(found), "changed": compared.choices(found, reference)}
    if reference.clips > 1:
        rows["enough"] = enough.curve(reference.table, reference.request)
    if len(found) > 1:
        rows["pairs"] = compared.pairs(found)
    if any(each.table.grid != reference.table.grid for each in found):
        rows["transfer"] = transfer.carried(found, reference)
    return rows


def _findings(rows: Mapping[str, pd.DataFrame], found: Sequence[Resampled], reference: Resampled) -> list[Finding]:
    said = [*findings.sure(rows["intervals"], reference)]
    if "enough" in rows:
        said += findings.halves(rows["enough"], reference)
    if "pairs" in rows:
        said += findings.between(rows["pairs"], found, reference)
    if "transfer" in rows:
        said += findings.carried(rows["transfer"])
    return [*said, *findings.limits(found)]


def _pictures(
    rows: Mapping[str, pd.DataFrame], found: Sequence[Resampled], reference: Resampled
) -> dict[str, tuple[Figure, str, str]]:
    """Return every figure by name with its alternative text and caption."""
    names, name = [each.name for each in found], reference.name
    label = figures.LABELS.get(reference.request.statistic, reference.request.statistic)
    shown = {}
    if "pairs" in rows:
        shown["against"] = (
            figures.against(rows["pairs"], names, name),
            f"per table, its rank correlation with {name}, the share of heads that change pattern, and regret, with intervals",
            "Points near 1, 0 and 0 are alike. Orange: what two drawings of the clips of one table differ by, that is, chance. "
            "A table of a part of the reference's clips agrees with it in part by construction.",
        )
        shown["matrix"] = (
            figures.matrix(rows["pairs"], names),
            "matrix of Spearman's rank correlations of the heads between every two tables, per pattern",
            "1: the heads are in the same order.",
        )
    shown["heads"] = (
        figures.heads(rows["intervals"], name, label),
        f"every head's mean with its interval over the clips of {name}, sorted, per pattern",
        "Heads whose intervals do not overlap differ by more than the clips explain. Intervals that are wide against the "
        "slope of the curve leave the order of neighbours open.",
    )
    if "enough" in rows:
        shown["clips"] = (
            figures.clips(rows["enough"], name),
            "rank correlation, share of equal patterns and regret of k clips, against k others and against all",
            "Full: what k clips say about k that were not seen. Dotted: against all clips, of which they are a part, so that "
            "the curve ends at agreement by construction.",
        )
    others = [each for each in found if each.table.grid != reference.table.grid]
    if others:
        shown["transfer"] = (
            figures.transfer(reference, others),
            f"scatter of the heads on other grids over those of {name} with the identity line, in KL and in KL / log(N/|S|)",
            "On the dashed line a head scores the same on both grids.",
        )
    return shown


def _record(found: Sequence[Resampled], reference: Resampled, command: str) -> dict[str, Any]:
    request = reference.request
    return {
        "command": command,
        "reference": reference.name,
        "statistic": request.statistic,
        "rule": str(request.rule),
        "resamples": request.resamples,
        "resamples of rules and Kendall's tau": min(COSTLY, request.resamples),
        "seed": request.seed,
        "tables": {
            each.name: {
                "sha256": each.table.sha256,
                "model": each.table.model,
                "weights_sha256": each.table.weights_sha256,
                "timestep": each.table.timestep,
                "grid": str(each.table.grid),
                "clips": list(each.table.clips),
            }
            for each in found
        },
        "versions": {
            "oasis": oasis.__version__,
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in ("numpy", "scipy", "pandas", "matplotlib")},
        },
    }
