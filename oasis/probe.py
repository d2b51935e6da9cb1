"""Run a model over clips and record, exactly and for every query, where each attention head looks."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from oasis import video
from oasis.attention.lse import attention_lse, expectations, pattern_lse, query_row
from oasis.cost import uniform_kl
from oasis.grid import Grid
from oasis.heads import COLUMNS
from oasis.model import Loaded
from oasis.model.oasis import Oasis
from oasis.model.unshuffle import pad_clip
from oasis.routing import GLOBAL, Pattern

BUG_KL = -1e-3
"""Nats below zero at which a divergence is no longer rounding of two log-sum-exps."""


class Probed(NamedTuple):
    """`heads`: the rows of heads.csv. `profiles`: attention mass by frame offset (clip, layer, head, dt, mass)."""

    heads: pd.DataFrame
    profiles: pd.DataFrame


@dataclass
class HeadProbe:
    """Collects statistics of every layer of one forward; pass it as `probe` to the model.

    `patterns` are those to measure against full attention; `head_order` gives, for each layer, which must fire once, the
    checkpoint's number of every head.
    """

    grid: Grid
    patterns: Sequence[Pattern]
    head_order: Sequence[Sequence[int]]
    tick: Callable[[], Any] = lambda: None
    head_rows: list[dict[str, Any]] = field(default_factory=list)
    profile_rows: list[dict[str, Any]] = field(default_factory=list)
    fired: list[int] = field(default_factory=list)

    @torch.no_grad()
    def __call__(
        self,
        layer: int,
        query: Float[Tensor, "b heads n d"],
        key: Float[Tensor, "b heads n d"],
        value: Float[Tensor, "b heads n d"],
    ) -> None:
        """Record one layer; reads its arguments and changes nothing."""
        for name, tensor in (("query", query), ("key", key), ("value", value)):
            if not torch.isfinite(tensor).all():
                raise ValueError(f"layer {layer}: the {name} holds NaN or infinity; the statistics would mean nothing")
        self.fired.append(layer)
        full = attention_lse(query, key, value)
        moments = expectations(query, key, full.lse, self.grid)
        for pattern in self.patterns:
            local = pattern_lse(query, key, value, pattern, self.grid)
            kl = (full.lse - local.lse).double()
            if kl.min() < BUG_KL:
                raise AssertionError(
                    f"layer {layer}, {pattern.name}: a divergence of {kl.min():.4g} nats; the log-sum-exps disagree"
                )
            self._add(layer, pattern, kl.clamp_min(0), _relative_error(full.out, local.out), moments, str(query.dtype))
        self._add_profile(layer, moments.frame_mass)
        self.tick()

    def finish(self) -> None:
        """Raise unless every layer fired exactly once."""
        if sorted(self.fired) != list(range(len(self.head_order))):
            raise AssertionError(f"the probe fired on layers {self.fired}, not once on each of {len(self.head_order)}")

    def _add(self, layer: int, pattern: Pattern, kl: Tensor, error: Float[Tensor, "heads"], moments: Any, dtype: str) -> None:
        uniform = uniform_kl(pattern, self.grid)
        for index, head in enumerate(self.head_order[layer]):
            values = kl[:, index].flatten()
            middle, high = np.quantile(values.numpy(force=True), [0.5, 0.95])
            mean = values.mean().item()
            self.head_rows.append(
                {
                    "layer": layer,
                    "head": head,
                    "pattern": pattern.name,
                    "kl_mean": mean,
                    "kl_p50": middle,
                    "kl_p95": high,
                    "kl_rel": mean / uniform if uniform else 0.0,
                    "mass_mean": (-values).exp().mean().item(),
                    "out_err": error[index].item(),
                    "entropy_mean": moments.entropy[:, index].double().mean().item(),
                    "dist_t": moments.dist_t[:, index].double().mean().item(),
                    "dist_xy": moments.dist_xy[:, index].double().mean().item(),
                    "self_mass": moments.self_mass[:, index].double().mean().item(),
                    "queries": values.numel(),
                    "dtype": dtype.removeprefix("torch."),
                }
            )

    def _add_profile(self, layer: int, frame_mass: Float[Tensor, "b heads t t"]) -> None:
        mass = frame_mass.double().mean(0)
        for index, head in enumerate(self.head_order[layer]):
            for dt in range(1 - self.grid.t, self.grid.t):
                row = {"layer": layer, "head": head, "dt": dt, "mass": mass[index].diagonal(dt).mean().item()}
                self.profile_rows.append(row)


def probe(
    loaded: Loaded,
    clips: Iterable[tuple[str, UInt8[Tensor, "t 3 h w"]]],
    patterns: Sequence[Pattern],
    *,
    tick: Callable[[], Any] = lambda: None,
) -> Probed:
    """Probe a model on LQ clips (name, RGB 0..255); `tick` is called after every layer of every clip.

    The model must be dense: statistics of a routed head would describe the routing. All clips must give one token grid.
    """
    model = loaded.model
    if any(pattern != GLOBAL for layer in model.dit.patterns for pattern in layer):
        raise ValueError("the model is routed; only a dense model can be probed")
    heads, profiles = [], []
    for name, frames in clips:
        lq = as_input(model, frames)
        recorder = HeadProbe(token_grid(model, lq), patterns, model.dit.head_order, tick)
        with torch.inference_mode():
            model.latents(lq, probe=recorder)
        recorder.finish()
        same = {
            "model": model.config.name,
            "weights_sha256": loaded.weights_sha256,
            "clip": name,
            "T": recorder.grid.t,
            "H": recorder.grid.h,
            "W": recorder.grid.w,
            "timestep": model.config.timestep,
            "backend": model.dit.backend,
        }
        heads += [{**same, **row} for row in recorder.head_rows]
        profiles += [{"clip": name, **row} for row in recorder.profile_rows]
    return Probed(pd.DataFrame(heads, columns=list(COLUMNS)), pd.DataFrame(profiles))


def attention_rows(
    model: Oasis, frames: UInt8[Tensor, "t 3 h w"], heads: Sequence[tuple[int, int]], query: tuple[int, int, int]
) -> Float[np.ndarray, "k gt gh gw"]:
    """Return, for each (layer, head), the attention of the query token at (t, y, x) over the token grid."""
    lq = as_input(model, frames)
    grid = token_grid(model, lq)
    t, y, x = query
    found: dict[tuple[int, int], Tensor] = {}

    def record(layer: int, query: Tensor, key: Tensor, value: Tensor) -> None:
        wanted = [head for wanted_layer, head in heads if wanted_layer == layer]
        if wanted:
            rows = query_row(query, key, (t * grid.h + y) * grid.w + x)[0]
            for head in wanted:
                found[layer, head] = rows[model.dit.head_order[layer].index(head)]

    with torch.inference_mode():
        model.latents(lq, probe=record)
    return torch.stack([found[head] for head in heads]).view(len(heads), grid.t, grid.h, grid.w).float().numpy(force=True)


def as_input(model: Oasis, frames: UInt8[Tensor, "t 3 h w"]) -> Float[Tensor, "1 3 f y x"]:
    """Return a clip as the model reads it: in [-1, 1], padded to its grid, in its dtype and on its device."""
    clip = video.to_network(frames).transpose(0, 1)[None]
    return pad_clip(clip.to(model.prompt), model.config.scale, model.config.dit.patch).clip


def token_grid(model: Oasis, lq: Float[Tensor, "b 3 t h w"]) -> Grid:
    """Return the token grid of a padded LQ clip."""
    fold = 8 // model.config.scale
    return model.dit.grid(((lq.shape[2] + 3) // 4, lq.shape[3] // fold, lq.shape[4] // fold))


def _relative_error(full: Float[Tensor, "b heads n d"], local: Float[Tensor, "b heads n d"]) -> Float[Tensor, "heads"]:
    difference = (full - local).double().square().sum(dim=(0, 2, 3)).sqrt()
    return difference / full.double().square().sum(dim=(0, 2, 3)).sqrt()
