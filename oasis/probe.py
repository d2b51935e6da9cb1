"""Run a model over clips and record, exactly and for every query, where each attention head looks."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from oasis import video
from oasis.attention.lse import attention_lse, expectations, pattern_lse, query_row
from oasis.configs import TEMPORAL_STRIDE
from oasis.cost import uniform_kl
from oasis.grid import Grid
from oasis.heads import COLUMNS
from oasis.model import Loaded
from oasis.model.dit import Probe
from oasis.model.oasis import Oasis
from oasis.model.unshuffle import pad_clip
from oasis.routing import GLOBAL, Pattern

BUG_KL = -1e-3
"""Nats below zero at which a divergence is no longer rounding of two log-sum-exps."""


class Probed(NamedTuple):
    """`heads`: the rows of heads.csv. `profiles`: attention mass by frame offset (clip, layer, head, dt, mass).

    `text`: attention mass on text keys (clip, layer, head, text_mass), the mean over the video queries; no rows where the
    self-attention sees the video alone.
    """

    heads: pd.DataFrame
    profiles: pd.DataFrame
    text: pd.DataFrame


@dataclass(frozen=True, kw_only=True)
class About:
    """What rows and records say of a subject.

    `text`: tokens of a prompt in front of the video's in its self-attention. `head_order`: the checkpoint's number of every
    head, layer by layer. `scale`: by how much the clips that it reads are enlarged where they are shown. `record`: what
    run.json says of it beside what every model has.
    """

    name: str
    weights_sha256: str
    trained: bool
    timestep: float
    backend: str
    head_order: Sequence[Sequence[int]]
    text: int = 0
    scale: int = 1
    record: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class Subject(Protocol):
    """A dense model whose heads can be measured, ours or another behind an adapter."""

    @property
    def about(self) -> About:
        """What rows and records say of it."""

    def grid(self, frames: UInt8[Tensor, "t 3 h w"]) -> Grid:
        """Return the token grid of a clip."""

    def frame_of(self, t: int, length: int) -> int:
        """Return which of the `length` frames of a clip a token frame shows first; padding may lie past the last."""

    def run(self, frames: UInt8[Tensor, "t 3 h w"], probe: Probe) -> None:
        """Run the network once; `probe` gets the number, queries, keys and values of every layer once."""


@dataclass(frozen=True)
class Own:
    """A model of this package as a subject. It must be dense: statistics of a routed head would describe the routing."""

    loaded: Loaded

    @property
    def about(self) -> About:
        """What rows and records say of it."""
        model = self.loaded.model
        return About(
            name=model.config.name,
            weights_sha256=self.loaded.weights_sha256,
            trained=self.loaded.trained,
            timestep=model.config.timestep,
            backend=model.dit.backend,
            head_order=model.dit.head_order,
            scale=model.config.scale,
        )

    def grid(self, frames: UInt8[Tensor, "t 3 h w"]) -> Grid:
        """Return the token grid of an LQ clip."""
        return token_grid(self.loaded.model, as_input(self.loaded.model, frames))

    def frame_of(self, t: int, length: int) -> int:
        """Return which LQ frame a token frame shows first."""
        return TEMPORAL_STRIDE * t

    def run(self, frames: UInt8[Tensor, "t 3 h w"], probe: Probe) -> None:
        """Run the transformer once on an LQ clip; ValueError if it is routed."""
        model = self.loaded.model
        if any(pattern != GLOBAL for layer in model.dit.patterns for pattern in layer):
            raise ValueError("the model is routed; only a dense model can be probed")
        model.latents(as_input(model, frames), probe=probe)


@dataclass
class HeadProbe:
    """Collects statistics of every layer of one forward; pass it as `probe` to the model.

    `patterns` are those to measure against full attention; `head_order` gives, for each layer, which must fire once, the
    checkpoint's number of every head.

    Where `text` tokens stand in front of the video's, every number is a mean over the video queries. KL, mass and out_err are
    about all keys, text among them in every pattern. Entropy, distances, self mass and frame mass are those of the attention
    to video keys, renormalised to 1: they say where in the video a head looks, and compare with heads that see no text; how
    much they leave out is `text_rows`.
    """

    grid: Grid
    patterns: Sequence[Pattern]
    head_order: Sequence[Sequence[int]]
    tick: Callable[[], Any] = lambda: None
    text: int = 0
    head_rows: list[dict[str, Any]] = field(default_factory=list)
    profile_rows: list[dict[str, Any]] = field(default_factory=list)
    text_rows: list[dict[str, Any]] = field(default_factory=list)
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
        wanted = (len(self.head_order[layer]), self.text + self.grid.tokens)
        if query.shape[1:3] != wanted:
            raise ValueError(f"layer {layer} attends with (heads, tokens) {tuple(query.shape[1:3])}; expected {wanted}")
        self.fired.append(layer)
        full = attention_lse(query, key, value)
        video = slice(self.text, None)
        if self.text:
            inside = attention_lse(query[:, :, video], key[:, :, video], value[:, :, video])
            self._add_text(layer, full.lse[:, :, video] - inside.lse)
        else:
            inside = full
        moments = expectations(query[:, :, video], key[:, :, video], inside.lse, self.grid)
        for pattern in self.patterns:
            local = pattern_lse(query, key, value, pattern, self.grid)
            kl = (full.lse - local.lse)[:, :, video].double()
            if kl.min() < BUG_KL:
                raise AssertionError(
                    f"layer {layer}, {pattern.name}: a divergence of {kl.min():.4g} nats; the log-sum-exps disagree"
                )
            error = _relative_error(full.out[:, :, video], local.out[:, :, video])
            self._add(layer, pattern, kl.clamp_min(0), error, moments, str(query.dtype))
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

    def _add_text(self, layer: int, outside: Float[Tensor, "b heads n"]) -> None:
        mass = -torch.expm1(-outside.double()).mean(dim=(0, 2))
        for head, value in zip(self.head_order[layer], mass.clamp_min(0).tolist(), strict=True):
            self.text_rows.append({"layer": layer, "head": head, "text_mass": value})

    def _add_profile(self, layer: int, frame_mass: Float[Tensor, "b heads t t"]) -> None:
        mass = frame_mass.double().mean(0)
        for index, head in enumerate(self.head_order[layer]):
            for dt in range(1 - self.grid.t, self.grid.t):
                row = {"layer": layer, "head": head, "dt": dt, "mass": mass[index].diagonal(dt).mean().item()}
                self.profile_rows.append(row)


def probe(
    subject: Subject,
    clips: Iterable[tuple[str, UInt8[Tensor, "t 3 h w"]]],
    patterns: Sequence[Pattern],
    *,
    tick: Callable[[], Any] = lambda: None,
) -> Probed:
    """Probe a model on clips (name, RGB 0..255) as it reads them; `tick` is called after every layer of every clip.

    `patterns` have the subject's text tokens. All clips must give one token grid.
    """
    about = subject.about
    heads, profiles, text = [], [], []
    for name, frames in clips:
        recorder = HeadProbe(subject.grid(frames), patterns, about.head_order, tick, about.text)
        with torch.inference_mode():
            subject.run(frames, recorder)
        recorder.finish()
        same = {
            "model": about.name,
            "weights_sha256": about.weights_sha256,
            "clip": name,
            "T": recorder.grid.t,
            "H": recorder.grid.h,
            "W": recorder.grid.w,
            "timestep": about.timestep,
            "backend": about.backend,
        }
        # Layers need not run in the order of their numbers.
        heads += [{**same, **row} for row in sorted(recorder.head_rows, key=lambda row: row["layer"])]
        profiles += [{"clip": name, **row} for row in sorted(recorder.profile_rows, key=lambda row: row["layer"])]
        text += [{"clip": name, **row} for row in sorted(recorder.text_rows, key=lambda row: row["layer"])]
    return Probed(
        pd.DataFrame(heads, columns=list(COLUMNS)),
        pd.DataFrame(profiles),
        pd.DataFrame(text, columns=["clip", "layer", "head", "text_mass"]),
    )


def attention_rows(
    subject: Subject, frames: UInt8[Tensor, "t 3 h w"], heads: Sequence[tuple[int, int]], query: tuple[int, int, int]
) -> Float[np.ndarray, "k gt gh gw"]:
    """Return, for each (layer, head), the attention of the query token at (t, y, x) over the token grid.

    It adds up to 1: mass on text keys is left out.
    """
    grid = subject.grid(frames)
    video = slice(subject.about.text, None)
    t, y, x = query
    found: dict[tuple[int, int], Tensor] = {}

    def record(layer: int, query: Tensor, key: Tensor, value: Tensor) -> None:
        wanted = [head for wanted_layer, head in heads if wanted_layer == layer]
        if wanted:
            rows = query_row(query[:, :, video], key[:, :, video], (t * grid.h + y) * grid.w + x)[0]
            for head in wanted:
                found[layer, head] = rows[subject.about.head_order[layer].index(head)]

    with torch.inference_mode():
        subject.run(frames, record)
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
