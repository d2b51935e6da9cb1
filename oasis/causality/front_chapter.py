"""The chapter on routing as optimisation: from the rows of a frontier to sentences, tables and figures."""

from pathlib import Path

import pandas as pd

from oasis import files, frontiers, timings
from oasis.causality import arms, front_figures, fronts
from oasis.causality.arms import RANDOM, SCATTERED
from oasis.causality.executed import Request
from oasis.report.chapters import Chapter, Finding, Picture, Table, Verdict, write_chapter

TITLE = "What does a routing lose at its cost?"
QUESTION = (
    "Routings are chosen from statistics or from measured harm of training clips, at a ladder of costs, and each is executed "
    "on held-out clips. Is choosing by KL better than chance, and how far is it from choosing by harm itself?"
)
TERMS = {
    "budget": "the exact optimum: least sum of a loss over heads within a share of dense attention FLOPs (a knapsack)",
    "budget harm": "the same over the latent MSE that each head causes alone, as `oasis harm` measured it",
    "written change": "what a pattern changes in the residual stream of one layer, seen from inside that layer alone",
    "greedy": "change, one after the other, what adds least KL for the FLOPs it saves",
    "threshold, quota": "cheapest pattern below a KL; the budget's numbers of heads given out by order of KL",
    RANDOM: "control: as many heads of each pattern as the budget over KL has, drawn",
    SCATTERED: "control: heads in random order take a random cheaper pattern until the cost is met",
    "inverse": "control: the budget's numbers of heads, given to the heads that lose most",
    "PSNR to dense": "dB of the upscaled clip to that of the dense network, before rounding to 8 bits",
    "intervals": "95 %, percentile bootstrap over clips and, independently, over the draws of random arms; arms are "
    "stretched for few clips as Student's t is",
}


def write(folder: Path, request: Request) -> Chapter:
    """Read frontier.csv and seconds.csv in `folder`, write the tables that follow from them, the figures and the page."""
    found, record = frontiers.read(folder / "frontier.csv")
    rows = pd.DataFrame(found)
    tables = {
        "means": fronts.means(rows),
        "differences": fronts.differences(rows),
        "predicted": fronts.predicted(rows),
        "fronts": fronts.exact(arms.known(request.harms)),
    }
    for name, table in tables.items():
        files.write_text(folder / f"{name}.csv", table.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    drawn = {
        "frontier": front_figures.frontier(tables["means"]),
        "predicted": front_figures.predictions(rows, tables["predicted"]),
        "fronts": front_figures.exact_fronts(tables["fronts"]),
    }
    chapter = Chapter(
        title=TITLE,
        question=QUESTION,
        findings=findings(rows, tables["differences"], tables["predicted"], folder),
        terms=TERMS,
        pictures=[Picture(name=name, **PICTURES[name]) for name in drawn],
        tables=[Table(file=name, caption=caption) for name, caption in TABLES.items()],
        record=record,
        trained=record["trained"],
    )
    write_chapter(folder, chapter, drawn)
    return chapter


PICTURES = {
    "frontier": {
        "alt": "lines of loss against attention FLOPs for every way to choose heads, controls in grey",
        "caption": "Lower left is better on the left, higher on the right. A way to choose is worth something where it lies "
        "beyond the grey lines.",
    },
    "predicted": {
        "alt": "executed latent MSE of every routing against the sum of single harms and against the sum of KL",
        "caption": "Whether a sum over heads says what a routing of many heads does.",
    },
    "fronts": {
        "alt": "falling staircases of the least sum of each statistic against cost",
        "caption": "A staircase that falls early says that few heads hold most of the loss; the others are cheap.",
    },
}
SUMMED = {
    "latent_mse": "The sum of single harms",
    "write_change": "Summed written change",
    "kl_mean": "Summed KL",
}
TABLES = {
    "means.csv": "every way to choose at every cost: means with intervals",
    "differences.csv": "paired differences of ways at equal cost; without a ratio the mean over the ladder",
    "predicted.csv": "rank correlation of sums over heads with what happened",
    "fronts.csv": "the exact Pareto front of each statistic: undominated cost and sum",
    "seconds.csv": "time from LQ pixels to latents as a share of dense, interleaved",
    "frontier.csv": "every routing on every clip",
}


def findings(rows: pd.DataFrame, differences: pd.DataFrame, predicted: pd.DataFrame, folder: Path) -> list[Finding]:
    """Return what the tables say, with effect sizes and intervals; differences are means over the ladder."""
    dense = differences[(differences["measure"] == "psnr_to_dense")].set_index(["first", "second"]).sort_index()
    found = [_held(dense, *pair) for pair in fronts.PAIRS]
    truth = differences[(differences["measure"] == "psnr_y") & differences["ratio"].isna()].set_index(["first", "second"])
    for pair in (("budget KL", RANDOM), ("budget KL", "inverse KL"), ("budget KL", "budget harm")) if len(truth) else ():
        row = truth.loc[pair]
        found.append(
            Finding(text=f"To the ground truth, {pair[0]} minus {pair[1]}: {_said(row, 3)} of psnr@y.", verdict=_sign(row))
        )
    by = predicted.set_index("statistic")
    for name, words in SUMMED.items():
        row = by.loc[name]
        found.append(
            Finding(
                text=f"{words} orders {row['routings']:.0f} executed routings by latent MSE on held-out clips with a Spearman "
                f"of {row['spearman']:.2f} ({row['spearman_low']:.2f} to {row['spearman_high']:.2f}), at equal cost "
                f"{row['within']:.2f} ({row['within_low']:.2f} to {row['within_high']:.2f}).",
                verdict=_sign({"low": row["within_low"], "high": row["within_high"]}),
            )
        )
    timed, _ = timings.read(folder / "seconds.csv")
    flops = rows.assign(ratio=rows["ratio"].map(lambda r: "" if pd.isna(r) else f" {r:g}"))
    cost = {f"{arm}{ratio}": value for arm, ratio, value in flops[["arm", "ratio", "attention_flops_ratio"]].to_numpy()}
    said = [f"{row.subject} {row.ratio:.2f} (FLOPs {cost[row.subject]:.2f})" for row in timed if row.subject in cost]
    text = f"Time from pixels to latents as a share of dense, beside attention FLOPs: {', '.join(said)}."
    found.append(Finding(text=text, verdict="shown" if all(row.ratio < 1 for row in timed[1:]) else "against"))
    text = (
        f"Executed on {rows['clip'].nunique()} clips without training on: training may heal part of what is lost, and "
        "so few clips have wide intervals. Distances to dense are no losses of quality."
    )
    return [*found, Finding(text=text, verdict="limit")]


def _held(table: pd.DataFrame, first: str, second: str) -> Finding:
    part = table.loc[(first, second)]
    mean, steps = part[part["ratio"].isna()].iloc[0], part[part["ratio"].notna()]
    better, worse = int((steps["low"] > 0).sum()), int((steps["high"] < 0).sum())
    return Finding(
        text=f"{first} minus {second}: {_said(mean, 2)} of PSNR to dense, mean over {len(steps)} costs; better at {better}, "
        f"worse at {worse} of them.",
        verdict=_sign(mean),
    )


def _said(row: pd.Series, digits: int) -> str:
    return f"{row['difference']:+.{digits}f} dB ({row['low']:+.{digits}f} to {row['high']:+.{digits}f})"


def _sign(row: "pd.Series | dict[str, float]") -> Verdict:
    """Return how the claim that the first is better stands."""
    return "shown" if row["low"] > 0 else "against" if row["high"] < 0 else "not shown"
