"""Harm rows: what changing the pattern of heads does to the output; and change rows: what it does inside one layer."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float

from oasis import tables

FORMAT = 1
Kind = Literal["head", "pair", "layer"]
Statistic = Literal["latent_mse", "latent_mse_rel", "pixel_mse", "psnr_y_loss"]
STATISTICS: tuple[str, ...] = get_args(Statistic)
"""Columns of harm that a routing can minimise."""
ALL = "all"


@dataclass(frozen=True, kw_only=True)
class Harm:
    """One clip, with the pattern of some heads of the dense network changed and nothing else.

    `layers`, `heads`, `patterns`: one entry for each changed head, such as "3,5", "1,7", "frame,window-8x8"; of a whole layer
    "3", "all", "frame". `latent_mse`: mean squared difference to the dense latents, `latent_mse_rel` as a share of their
    variance. `pixel_mse`: the same of the upscaled clips in [0, 1], before they are rounded to 8 bits; `psnr_to_dense` in dB,
    infinite where they are equal. `psnr_y_loss`: dB of psnr@y to the ground truth that the change costs, None without one.
    """

    clip: str
    kind: Kind
    layers: str
    heads: str
    patterns: str
    latent_mse: float
    latent_mse_rel: float
    pixel_mse: float
    psnr_to_dense: float
    psnr_y_loss: float | None

    def __post_init__(self) -> None:
        if min(self.latent_mse, self.latent_mse_rel, self.pixel_mse) < 0:
            raise ValueError(f"latent_mse is {self.latent_mse}, pixel_mse {self.pixel_mse}; allowed: at least 0")
        counts = {len(text.split(",")) for text in (self.layers, self.heads, self.patterns)}
        if counts != {2 if self.kind == "pair" else 1}:
            raise ValueError(f"a {self.kind} has layers {self.layers}, heads {self.heads}, patterns {self.patterns}")


@dataclass(frozen=True, kw_only=True)
class Change:
    """What a pattern changes inside the layer of one head of the dense network, on one clip.

    With m the attention inside the pattern, a head's output is m o_S + (1 - m) o_out, so the pattern, which leaves o_S alone,
    changes it by exactly (1 - m) (o_out - o_S). `out_change`: the root of the mean over queries of the square of that
    vector's length. `write_change`: the same behind the layer's output projection and gate, as a share of the tokens' own
    root mean square: what is written differently into the residual stream.
    """

    clip: str
    layer: int
    head: int
    pattern: str
    out_change: float
    write_change: float

    def __post_init__(self) -> None:
        if min(self.out_change, self.write_change) < 0:
            raise ValueError(f"out_change is {self.out_change}, write_change {self.write_change}; allowed: at least 0")


def write(path: Path, rows: Iterable[Harm], fingerprint: Mapping[str, Any]) -> None:
    """Write rows below a fingerprint (model, weights, clips, grid, dtype, backend), whole or not at all."""
    tables.write(path, Harm, rows, {"format": FORMAT, "kind": "harms", **fingerprint})


def read(path: Path) -> tuple[list[Harm], dict[str, Any]]:
    """Return the rows and the fingerprint of a file that `write` wrote; ValueError says which line or field does not fit."""
    rows, fingerprint = tables.read(path, Harm)
    if fingerprint.get("kind") != "harms" or fingerprint.get("format") != FORMAT:
        raise ValueError(f"{path}: not a file of harms of format {FORMAT}")
    return rows, fingerprint


def write_changes(path: Path, rows: Iterable[Change], fingerprint: Mapping[str, Any]) -> None:
    """Write rows below a fingerprint, as `write` does."""
    tables.write(path, Change, rows, {"format": FORMAT, "kind": "changes", **fingerprint})


def read_changes(path: Path) -> tuple[list[Change], dict[str, Any]]:
    """Return the rows and the fingerprint of a file that `write_changes` wrote; ValueError as in `read`."""
    rows, fingerprint = tables.read(path, Change)
    if fingerprint.get("kind") != "changes" or fingerprint.get("format") != FORMAT:
        raise ValueError(f"{path}: not a file of changes of format {FORMAT}")
    return rows, fingerprint


def of_heads(
    rows: Sequence[Harm], statistic: str, clips: Sequence[str], shape: tuple[int, int], patterns: Sequence[str]
) -> Float[np.ndarray, "clips layers heads patterns"]:
    """Return one column of the rows of single heads as an array; ValueError unless every combination is there once."""
    if statistic not in STATISTICS:
        raise ValueError(f"statistic {statistic!r} is unknown; allowed: {', '.join(STATISTICS)}")
    found = np.full((len(clips), *shape, len(patterns)), np.nan)
    for row in rows:
        if row.kind != "head" or row.clip not in clips or row.patterns not in patterns:
            continue
        place = (clips.index(row.clip), int(row.layers), int(row.heads), patterns.index(row.patterns))
        value = getattr(row, statistic)
        where = f"clip {row.clip}, layer {row.layers}, head {row.heads}, pattern {row.patterns}"
        if place[1] >= shape[0] or place[2] >= shape[1]:
            raise ValueError(f"the harms hold {where}; the head statistics have {shape[0]} layers of {shape[1]} heads")
        if value is None or not np.isnan(found[place]):
            problem = "has no value (a clip without ground truth)" if value is None else "is there twice; allowed: once"
            raise ValueError(f"the harm {statistic} of {where} {problem}")
        found[place] = value
    if np.isnan(found).any():
        clip, layer, head, pattern = np.argwhere(np.isnan(found))[0]
        raise ValueError(
            f"the harm {statistic} of clip {clips[clip]}, layer {layer}, head {head}, pattern {patterns[pattern]} is missing; "
            "every clip x layer x head x pattern must be there"
        )
    return found
