"""The chapters on redundancy, each beside its tables."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from oasis.heads import read_heads
from oasis.redundancy import figures, findings
from oasis.report.chapters import Chapter, Picture, Table, write_chapter

EMPTY = ("quality", "update_rel", "head", "other_head")
"""Columns in which an empty field stands for no value."""


def similarity(folder: Path, profile: Path, record: Mapping[str, Any]) -> Path:
    """Write the chapter on heads and layers that are alike into the folder of its tables; return the folder."""
    rows, clusters, groups = (_read(folder / f"{name}.csv") for name in ("similarity", "clusters", "groups"))
    heads = read_heads(profile / "heads.csv")
    pictures = [
        Picture(
            name="heads-cka",
            alt="A square map of all heads against all heads, in blocks of layers; the lighter, the more alike.",
            caption="Blocks on the diagonal are heads of one layer. All heads read the same stream, so some likeness is"
            " expected.",
        ),
        Picture(
            name="layers-cka",
            alt="Two square maps of layers against layers: likeness of the stream, and of what layers add to it.",
            caption="The stream changes little from layer to layer where blocks add little; what layers add says whether"
            " they do the same work twice.",
        ),
        Picture(
            name="groups",
            alt="Curves over the number of groups, and heads as points on two principal components.",
            caption="Left: do the statistics of heads fall into groups, and are they the patterns of the routing table? The"
            " band is the 95 % interval over clips drawn anew. Right: the same statistics on their two main axes.",
        ),
    ]
    drawn = {
        "heads-cka": figures.head_matrix(rows),
        "layers-cka": figures.layer_matrices(rows),
        "groups": figures.grouping(clusters, groups, heads),
    }
    chapter = Chapter(
        title="Heads and layers that are alike",
        question="Do several heads, or several layers, compute the same, and do heads come in the three kinds that they are"
        " routed to?",
        findings=[*findings.alike_heads(rows), *findings.alike_layers(rows), *findings.groups(clusters)],
        terms={
            "linear CKA": "Likeness of two sets of features over the same tokens, 0 to 1; 1 means the same up to rotation and"
            " scale (Kornblith et al., 2019). Exact over all tokens, clip by clip.",
            "null": "The same with the tokens of one of the two in random order.",
            "silhouette": "-1 to 1: how much nearer heads are to their own group than to the next; above 0.5 groups stand"
            " apart.",
            "adjusted Rand index": "Agreement of two groupings: 1 is the same, 0 is what chance gives.",
        },
        pictures=pictures,
        tables=[
            Table(file="similarity.csv", caption="CKA of every pair on every clip"),
            Table(file="clusters.csv", caption="Quality of k groups of heads"),
            Table(file="groups.csv", caption="Group and pattern of every head"),
        ],
        links=_link(profile, folder),
        record=record,
        trained=bool(record["trained"]),
    )
    write_chapter(folder, chapter, drawn)
    return folder


def layers(folder: Path, profile: Path, record: Mapping[str, Any]) -> Path:
    """Write the chapter on layers and constants into the folder of its tables; return the folder."""
    skips, constants = _read(folder / "skips.csv"), _read(folder / "constants.csv")
    pictures = [
        Picture(
            name="skips",
            alt="Points by layer: what leaving out the layer, its attention, its cross-attention or its MLP changes.",
            caption="Bars are 95 % intervals over clips. The upper axis is logarithmic.",
        ),
        Picture(
            name="constants",
            alt="Points for each change of the prompt or the timestep.",
            caption="Both are constants of a one-step network, so what depends on them alone is computed once, at load.",
        ),
    ]
    chapter = Chapter(
        title="Layers, prompt and steps",
        question="What would the output lose without a layer, or without the prompt, or at another timestep?",
        findings=[*findings.skipped(skips), *findings.constants(constants)],
        terms={
            "latent_rel": "Mean squared error of the latents to those of the whole network, over the variance of these: 1 is as"
            " wrong as a constant.",
            "psnr_to_whole": "PSNR of the clip (all channels, not rounded) to that of the whole network, in dB.",
            "quality": "PSNR-Y to the ground truth less that of the whole network, in dB: negative is worse.",
            "update_rel": "Norm of what the layer adds to the stream over the norm of the stream.",
        },
        pictures=pictures,
        tables=[
            Table(file="skips.csv", caption="Every layer and part left out, on every clip"),
            Table(file="constants.csv", caption="Every change of a constant, on every clip"),
        ],
        links=_link(profile, folder),
        record=record,
        trained=bool(record["trained"]),
    )
    write_chapter(folder, chapter, {"skips": figures.skipped(skips), "constants": figures.constants(constants)})
    return folder


def tokens(folder: Path, profile: Path, record: Mapping[str, Any]) -> Path:
    """Write the chapter on repeated tokens into the folder of its table; return the folder."""
    rows = _read(folder / "tokens.csv")
    pictures, drawn = [], {}
    if len(rows):
        pictures = [
            Picture(
                name="tokens",
                alt="Curves over layers: how alike a token is to one of the frame before, its neighbour, a random one.",
                caption="The mean token of the clip is taken off first, because it is common to all. Bars are 95 % intervals"
                " over clips. Below 0, the other token foretells less than the mean token does.",
            )
        ]
        drawn = {"tokens": figures.repeated(rows)}
    chapter = Chapter(
        title="Tokens that repeat",
        question="How much of a token does the frame before already say, at the same place and along the motion, and how does"
        " that compare with its neighbour in the same frame?",
        findings=findings.tokens(rows),
        terms={
            "explained": "1 - |token - other|^2 / |token|^2, summed over tokens: 1 is a copy, 0 no better than the mean token,"
            " -1 a token that has nothing to do with it.",
            "moved": "Where the motion (OpenCV's DIS on the ground truth, or on the LQ clip where there is none) leads to,"
            " sampled bilinearly, which also smooths.",
        },
        pictures=pictures,
        tables=[Table(file="tokens.csv", caption="Every latent frame of every clip, behind every layer")],
        links=_link(profile, folder),
        record=record,
        trained=bool(record["trained"]),
    )
    write_chapter(folder, chapter, drawn)
    return folder


CHAPTERS: Mapping[str, Callable[[Path, Path, Mapping[str, Any]], Path]] = {
    "similarity": similarity,
    "layers": layers,
    "tokens": tokens,
}


def _link(profile: Path, folder: Path) -> dict[str, str]:
    return {Path(os.path.relpath(profile / "index.html", folder)).as_posix(): "the heads, one by one"}


def _read(path: Path) -> pd.DataFrame:
    return pd.read_csv(
        path,
        skiprows=1,
        keep_default_na=False,
        na_values={name: [""] for name in EMPTY},
    )
