"""Findings about redundancy: rows of the tables in, sentences with effect sizes and intervals out."""

import pandas as pd
from scipy import stats

from oasis import bootstrap
from oasis.report.chapters import Finding, Verdict

ALIKE = 0.9
"""Two heads with a CKA above this say nearly the same."""


def alike_heads(rows: pd.DataFrame) -> list[Finding]:
    """Say how alike heads are within a layer and across, and whether any could be merged."""
    heads = rows[rows["of"] == "head"]
    near, far = heads[heads["layer"] == heads["other_layer"]], heads[heads["layer"] != heads["other_layer"]]
    if near.empty or far.empty:
        return [Finding(text="One head, or one layer: nothing to compare.", verdict="limit")]
    inside, across, null = _over_clips(near, "cka"), _over_clips(far, "cka"), _over_clips(heads, "null")
    difference = bootstrap.mean(near.groupby("clip")["cka"].mean() - far.groupby("clip")["cka"].mean())
    means = near.groupby(["layer", "head", "other_layer", "other_head"])["cka"].mean()
    alike = int((means > ALIKE).sum())
    return [
        Finding(
            text=f"Two heads of one layer have a mean CKA of {inside}, two heads of different layers {across}; tokens in random"
            f" order give {null}. The difference of the first two is {difference}.",
            verdict=_verdict(difference),
        ),
        Finding(
            text=f"{alike} of {len(means)} pairs of heads in one layer have a CKA above {ALIKE} (largest {means.max():.2f}):"
            f" {'heads that could be merged are rare' if alike < 0.05 * len(means) else 'some heads say nearly the same'}.",
            verdict="against" if alike < 0.05 * len(means) else "shown",
        ),
    ]


def alike_layers(rows: pd.DataFrame) -> list[Finding]:
    """Say how alike neighbouring layers are."""
    found = []
    for of, what in (("stream", "The streams behind"), ("update", "What is added by")):
        part = rows[(rows["of"] == of) & (rows["layer"] - rows["other_layer"] == 1)]
        if len(part):
            by_layer = part.groupby("other_layer")["cka"].mean()
            found.append(
                Finding(
                    text=f"{what} two neighbouring layers: mean CKA {_over_clips(part, 'cka')}, least between layers"
                    f" {by_layer.idxmin()} and {int(by_layer.idxmin()) + 1} ({by_layer.min():.2f}).",
                    verdict="shown",
                )
            )
    return found


def groups(clusters: pd.DataFrame) -> list[Finding]:
    """Say whether heads fall into groups, and whether these are the routing table's patterns."""
    best = clusters.loc[clusters["silhouette"].idxmax()]
    apart = best["silhouette"] >= 0.5
    agrees = best["rand_low"] > best["rand_chance"]
    three = clusters[clusters["k"] == 3]
    text = (
        f"Heads fall best into {int(best['k'])} groups by silhouette ({best['silhouette']:.2f}"
        f"{'' if apart else ', which is below 0.5: a continuum rather than kinds'})"
    )
    if len(three) and int(best["k"]) != 3:
        text += f"; three groups, as in the method, have {three['silhouette'].iloc[0]:.2f}"
    return [
        Finding(text=f"{text}.", verdict="shown" if apart else "against"),
        Finding(
            text=f"Those groups and the routing table's patterns have an adjusted Rand index of {best['rand']:.2f}"
            f" ({best['rand_low']:.2f} to {best['rand_high']:.2f} over clips; chance stays below {best['rand_chance']:.2f} in"
            " 95 %)."
            f" Groups found on other draws of clips agree with them by {best['steady']:.2f}.",
            verdict="shown" if agrees else "not shown",
        ),
    ]


def skipped(skips: pd.DataFrame) -> list[Finding]:
    """Say which layers can be left out, and what foretells it."""
    whole = skips[skips["part"] == "layer"]
    by_layer = whole.groupby("layer")["latent_rel"].mean()
    least, most = int(by_layer.idxmin()), int(by_layer.idxmax())
    found = [
        Finding(
            text=f"Leaving out layer {least} changes the latents least: {_of(whole, least)} of their variance; layer {most}"
            f" most: {_of(whole, most)}.",
            verdict="shown",
        )
    ]
    if whole["quality"].notna().all():
        quality = {layer: bootstrap.mean(part.set_index("clip")["quality"]) for layer, part in whole.groupby("layer")}
        free = [str(layer) for layer, one in quality.items() if one.high >= 0]
        worst = min(quality.values(), key=lambda one: one.value)
        found.append(
            Finding(
                text=f"Without further training, the layers that can be left out with no loss of PSNR-Y shown: "
                f"{', '.join(free) if free else 'none'}. The worst one costs {worst} dB.",
                verdict="not shown" if free else "against",
            )
        )
    parts = skips[skips["part"] != "layer"].groupby(["part", "clip"])["latent_rel"].mean()
    found.append(
        Finding(
            text="Mean over layers of the change by leaving out one part: "
            + "; ".join(f"{part} {bootstrap.mean(parts[part])}" for part in parts.index.unique("part"))
            + ".",
            verdict="shown",
        )
    )
    rank = {clip: stats.spearmanr(part["update_rel"], part["latent_rel"]).statistic for clip, part in whole.groupby("clip")}
    if len(by_layer) > 2:
        rho = bootstrap.mean(pd.Series(rank))
        found.append(
            Finding(
                text=f"The size of what a layer adds foretells what leaving it out changes: Spearman {rho} over {len(by_layer)}"
                " layers.",
                verdict=_verdict(rho),
            )
        )
    return found


def constants(rows: pd.DataFrame) -> list[Finding]:
    """Say what prompt and timestep contribute."""
    found = []
    for change in ("no cross-attention", "cross-attention as a bias", "prompt of padding"):
        part = rows[rows["change"] == change]
        effect, text = bootstrap.mean(part.set_index("clip")["latent_rel"]), ""
        if part["quality"].notna().all():
            text = f", PSNR-Y by {bootstrap.mean(part.set_index('clip')['quality'])} dB"
        found.append(
            Finding(text=f"{change.capitalize()}: the latents change by {effect} of their variance{text}.", verdict="shown")
        )
    steps = rows[rows["change"].str.startswith("timestep")]
    listed = "; ".join(
        f"{change.removeprefix('timestep ')}: {bootstrap.mean(part.set_index('clip')['latent_rel'])}"
        for change, part in steps.groupby("change", sort=False)
    )
    found += [
        Finding(
            text=f"At another timestep than the network's own the latents change by, of their variance, {listed}.",
            verdict="shown",
        ),
        Finding(
            text="The network takes one step, so there are no steps to leave out; models of several steps are compared step by"
            " step by `oasis stability` on profiles at several timesteps.",
            verdict="limit",
        ),
    ]
    return found


def tokens(rows: pd.DataFrame) -> list[Finding]:
    """Say how much of a token others foretell."""
    if rows.empty:
        return [Finding(text="The clips have one latent frame; there is no frame before.", verdict="limit")]
    by_clip = rows.groupby(["place", "layer", "clip"])["explained"].mean().unstack("place")
    mean = by_clip.groupby("clip").mean()
    gain = bootstrap.mean(mean["moved"] - mean["same"])
    space = bootstrap.mean(mean["moved"] - mean["beside"])
    last = by_clip.xs(by_clip.index.get_level_values("layer").max(), level="layer")
    first = by_clip.xs(-1, level="layer")
    fall = bootstrap.mean(last["moved"] - first["moved"])
    return [
        Finding(
            text=f"Mean over layers, the frame before foretells {_mean(mean['same'])} of a token at the same place and"
            f" {_mean(mean['moved'])} along the motion (mean motion {rows['motion'].mean():.2f} tokens); a random place"
            f" {_mean(mean['elsewhere'])}. Following the motion adds {gain}.",
            verdict=_verdict(gain),
        ),
        Finding(
            text=f"The next token of the same frame foretells {_mean(mean['beside'])}; the frame before, along the motion, is"
            f" better by {space}.",
            verdict=_verdict(space),
        ),
        Finding(
            text=f"From the embedding to the last layer, what the frame before foretells along the motion changes by {fall}.",
            verdict="shown" if fall.low > 0 or fall.high < 0 else "not shown",
        ),
        Finding(
            text="Likeness of tokens is not redundancy of work: whether a likely token may be left out was not measured.",
            verdict="limit",
        ),
    ]


def _mean(values: "pd.Series[float]") -> bootstrap.Mean:
    return bootstrap.mean(values)


def _over_clips(rows: pd.DataFrame, column: str) -> bootstrap.Mean:
    return bootstrap.mean(rows.groupby("clip")[column].mean())


def _of(rows: pd.DataFrame, layer: int) -> bootstrap.Mean:
    return bootstrap.mean(rows[rows["layer"] == layer].set_index("clip")["latent_rel"])


def _verdict(difference: bootstrap.Mean) -> Verdict:
    return "shown" if difference.low > 0 else "against" if difference.high < 0 else "not shown"
