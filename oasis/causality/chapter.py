"""The chapter on causality: from the rows of a run to sentences, tables and figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from oasis import files
from oasis.causality import additive, figures, predict
from oasis.causality.predict import CONTROLS, HARMS, KL, STATISTICS, Measured
from oasis.report.chapters import Chapter, Finding, Picture, Table, Verdict, write_chapter

TITLE = "Does KL predict harm?"
QUESTION = (
    "A head that looks outside a cheap pattern has a high KL to it. Is it also a head whose output suffers under that pattern? "
    "Every head of the dense network is put under each pattern, alone, and the change of the network's output is measured."
)
TERMS = {
    "latent MSE": "mean squared difference to the latents of the dense network: the harm of a change",
    "KL": "of a head's attention inside the pattern to all of its attention, in nats; the mean over queries",
    "relative KL": "KL as a share of that of a head that looks everywhere equally",
    "mass outside": "share of the attention that lies outside the pattern",
    "distance": "mean distance of keys along the axis that the pattern cuts, as a share of that of a uniform head",
    "relative output error": "|o_full - o_pattern| / |o_full| of the head's output o, over all queries",
    "output change": "(1 - m) |o_outside - o_pattern|, exactly |o_full - o_pattern|: root mean square over queries",
    "written change": "the same behind output projection and gate, as a share of the tokens' root mean square",
    "layers left": "control: how many layers there are from this one on; an early head has more to spoil",
    "within layers and patterns": "Spearman's correlation of ranks among the heads of one layer under one pattern: what is "
    "left when both are held fixed",
    "intervals": "95 %, percentile bootstrap over clips and, independently, over the heads of every layer, arms stretched for "
    "few clips as Student's t is; all statistics share the resamples, so that differences are paired",
}


def write(folder: Path) -> Chapter:
    """Read a run's rows in `folder` and write correlations.csv, additivity.csv, figures, chapter.json and index.html there."""
    measured = predict.read(folder)
    correlations = predict.table(measured)
    sums = additive.sums(measured.rows, "latent_mse")
    added = additive.summary(sums)
    for name, table in (("correlations", correlations), ("additivity", added)):
        files.write_text(folder / f"{name}.csv", table.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    drawn = {
        "harm-map": figures.harm_map(measured),
        "harm-scatter": figures.scatters(measured, correlations),
        "harm-forest": figures.forest(correlations),
    }
    if len(sums):
        drawn["harm-additivity"] = figures.additivity(sums)
    chapter = Chapter(
        title=TITLE,
        question=QUESTION,
        findings=findings(measured, correlations, added),
        terms=TERMS,
        pictures=[Picture(name=name, **PICTURES[name]) for name in drawn],
        tables=[Table(file=name, caption=caption) for name, caption in TABLES.items()],
        record=measured.record,
        trained=measured.record["trained"],
    )
    write_chapter(folder, chapter, drawn)
    return chapter


PICTURES = {
    "harm-map": {
        "alt": "a grid of layers and heads for each pattern, coloured by latent MSE",
        "caption": "What each head harms when it alone is put under the pattern; the scale is logarithmic.",
    },
    "harm-scatter": {
        "alt": "nine scatter plots of harm against a statistic, a point per head and pattern, coloured by layer",
        "caption": "A statistic that predicts harm makes a rising line. Bands of one colour show what depth alone explains.",
    },
    "harm-forest": {
        "alt": "rank correlations of every statistic with harm as points with intervals",
        "caption": "Rank correlation with latent MSE. Hollow points hold layer and pattern fixed; grey ones are controls.",
    },
    "harm-additivity": {
        "alt": "joint harm against the sum of single harms, for pairs of heads and for whole layers, beside the diagonal",
        "caption": "On the dashed line harms add up; above it heads harm more together than alone.",
    },
}
TABLES = {
    "correlations.csv": "rank correlations of every statistic with every kind of harm, and differences to KL",
    "additivity.csv": "how far the harm of pairs and layers is the sum of that of their heads",
    "harms.csv": "the harm of every change on every clip",
    "changes.csv": "what each pattern changes inside the layer of each head",
    "heads.csv": "the statistics of every head, as `oasis profile` measures them, on the same clips",
}


def findings(measured: Measured, correlations: pd.DataFrame, added: pd.DataFrame) -> list[Finding]:
    """Return what the tables say, with effect sizes and intervals."""
    whole = "all" if len(measured.patterns) > 1 else measured.patterns[0]
    latent = correlations[correlations["harm"] == "latent_mse"].set_index(["control", "pattern", "statistic"]).sort_index()
    overall, within = (latent.loc[control, whole] for control in ("none", "within"))
    each = {name: latent.loc["none", name, KL] for name in measured.patterns}
    found = [
        Finding(
            text="Under one and the same pattern, KL orders heads by the latent MSE that they cause with a Spearman of "
            + "; ".join(f"{_said(row)} ({name})" for name, row in each.items())
            + ".",
            verdict=_least([_sign(row) for row in each.values()]),
        ),
        Finding(
            text=f"Over {overall.loc[KL, 'points']} heads and patterns together it is {_said(overall.loc[KL])} (Kendall "
            f"{overall.loc[KL, 'kendall']:.2f}), which includes that a narrower pattern has more KL and does more harm.",
            verdict=_sign(overall.loc[KL]),
        ),
        Finding(
            text=f"With layer and pattern held fixed the Spearman of KL is {_said(within.loc[KL])}; depth alone, the "
            f"number of layers left, reaches {_said(overall.loc['depth'])}.",
            verdict=_sign(within.loc[KL]),
        ),
    ]
    candidates = [name for name in STATISTICS if name not in (*CONTROLS, KL)]
    shown = dict.fromkeys((overall.loc[candidates, "spearman"].idxmax(), "out_err", "kl_rel"))
    found += [_against_kl(name, overall, within) for name in shown]
    found.append(
        Finding(
            text=f"KL minus depth alone: {_difference(overall.loc['depth'], -1)}; random numbers reach "
            f"{_said(overall.loc['random'])}.",
            verdict=_sign({"low": -overall.loc["depth", "more_high"], "high": -overall.loc["depth", "more_low"]}),
        )
    )
    for name in measured.harms:
        if name != "latent_mse":
            row = correlations.set_index(["harm", "control", "pattern", "statistic"]).sort_index().loc[name, "none", whole, KL]
            found.append(Finding(text=f"Against {HARMS[name]} the Spearman of KL is {_said(row)}.", verdict=_sign(row)))
    found += [_additive(row) for row in added.to_dict("records")]
    found.append(
        Finding(
            text=f"Measured on {len(measured.clips)} clips at a token grid of "
            f"{'x'.join(map(str, measured.record['grid']))} (t, h, w), by one model and before any training with the patterns: "
            "training on may heal what a change harms, and longer or larger clips have other distances.",
            verdict="limit",
        )
    )
    return found


def _against_kl(name: str, overall: pd.DataFrame, within: pd.DataFrame) -> Finding:
    row, others = overall.loc[name], overall.drop(index=list(CONTROLS))
    best = f" (the best of {len(others)}, named by these same rows)" if row["spearman"] == others["spearman"].max() else ""
    return Finding(
        text=f"The {STATISTICS[name]}{best} reaches a Spearman of {_said(row)}, {_difference(row)} to KL; within layers and "
        f"patterns {_said(within.loc[name])}, {_difference(within.loc[name])} to KL.",
        verdict=_sign({"low": row["more_low"], "high": row["more_high"]}),
    )


def _additive(row: Mapping[str, Any]) -> Finding:
    """Say how far harms of a group add up: shown where the interval of the median ratio holds 1 and it explains over half."""
    near = row["ratio_low"] <= 1 <= row["ratio_high"] and row["r2_low"] > 0.5
    return Finding(
        text=f"{row['group'][0].upper()}{row['group'][1:]}: the joint harm is {row['ratio']:.2f} times the sum of the single "
        f"harms in the median ({row['ratio_low']:.2f} to {row['ratio_high']:.2f}), slope {row['slope']:.2f} "
        f"({row['slope_low']:.2f} to {row['slope_high']:.2f}), R2 of the plain sum {row['r2']:.2f} ({row['r2_low']:.2f} to "
        f"{row['r2_high']:.2f}), {row['points']} cases.",
        verdict="shown" if near else "against" if row["ratio_low"] > 1 or row["ratio_high"] < 1 else "not shown",
    )


def _said(row: pd.Series) -> str:
    return f"{row['spearman']:.2f} ({row['low']:.2f} to {row['high']:.2f})"


def _difference(row: pd.Series, sign: int = 1) -> str:
    low, high = sorted((sign * row["more_low"], sign * row["more_high"]))
    return f"{sign * row['more']:+.2f} ({low:+.2f} to {high:+.2f})"


def _sign(row: "pd.Series | dict[str, float]") -> Verdict:
    """Return how a positive effect stands."""
    return "shown" if row["low"] > 0 else "against" if row["high"] < 0 else "not shown"


def _least(verdicts: Sequence[Verdict]) -> Verdict:
    """Return "shown" where all are, "against" where one is."""
    return "against" if "against" in verdicts else "shown" if set(verdicts) == {"shown"} else "not shown"
