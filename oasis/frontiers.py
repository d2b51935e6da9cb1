"""Frontier rows: what one routing of a ladder of costs loses when it is executed, and what statistics said it would."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oasis import tables

FORMAT = 1
TOTALS = ("kl_mean", "kl_rel", "out_err", "write_change", "latent_mse")
"""Statistics whose sums over heads a row holds; the last is the harm that each head does alone."""


@dataclass(frozen=True, kw_only=True)
class Executed:
    """One routing on one clip.

    `arm` names how it was chosen, `seed` which draw of a random one; `control` 1 where others are only held against it.
    `ratio` is the step of the ladder that it keeps to, None for a uniform pattern; `attention_flops_ratio` what it costs;
    `heads` how many have each pattern. `*_total`: sums over heads of what statistics and single harms say. Then what happened,
    as in `oasis.harms.Harm`; `psnr_y` and `psnr_y_dense` in dB, None without a ground truth.
    """

    arm: str
    control: int
    seed: int | None
    ratio: float | None
    attention_flops_ratio: float
    heads: str
    layers: str
    kl_mean_total: float
    kl_rel_total: float
    out_err_total: float
    write_change_total: float
    latent_mse_total: float
    clip: str
    latent_mse: float
    latent_mse_rel: float
    pixel_mse: float
    psnr_to_dense: float
    psnr_y: float | None
    psnr_y_dense: float | None

    def __post_init__(self) -> None:
        if self.control not in (0, 1) or not 0 < self.attention_flops_ratio <= 1:
            raise ValueError(
                f"control is {self.control}, attention_flops_ratio {self.attention_flops_ratio}; allowed: 0 or 1, above 0 and "
                "at most 1"
            )


def write(path: Path, rows: Iterable[Executed], fingerprint: Mapping[str, Any]) -> None:
    """Write rows below a fingerprint (weights, files decided from, clips judged on), whole or not at all."""
    tables.write(path, Executed, rows, {"format": FORMAT, "kind": "frontier", **fingerprint})


def read(path: Path) -> tuple[list[Executed], dict[str, Any]]:
    """Return the rows and the fingerprint of a file that `write` wrote; ValueError says which line or field does not fit."""
    rows, fingerprint = tables.read(path, Executed)
    if fingerprint.get("kind") != "frontier" or fingerprint.get("format") != FORMAT:
        raise ValueError(f"{path}: not a file of a frontier of format {FORMAT}")
    return rows, fingerprint
