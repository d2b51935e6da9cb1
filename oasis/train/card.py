"""The model card: what a trained model scores against bicubic on clips that it never saw, and how it was trained."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import UInt8
from matplotlib.figure import Figure
from torch import Tensor

from oasis import degrade, files, upscale, video
from oasis.data import builtin
from oasis.metrics import perceptual, pixel
from oasis.model.oasis import Oasis
from oasis.routing import RoutingTable
from oasis.train.corpus import reduce_by_2

SEGMENT = 17
SEGMENTS = 3
RESAMPLES = 10_000
DIRECTION = {"psnr_y": 1, "gmsd": -1, "ms_ssim": 1}
"""1 where more is better, -1 where less is."""

_CARD = """# oasis-tiny

A small OASIS (x4 video super-resolution in one step, 8 layers of 8 heads) that ships inside the package so that
everything runs anywhere. It is a demonstrator of the method's mechanics: it was trained for hours on two CPU cores, its
head statistics are those of a small network, and nothing about the full-size model follows from them.

Weights: `model.safetensors`, float16, sha256 `{sha256}`. Licence: Apache-2.0.

## What it scores on clips that it never saw

Gain is positive where the first method is better (GMSD is better when smaller). Intervals: 95 %, bootstrap
over segments,
10,000 resamples. PSNR is that of BT.601 limited luma; GMSD and MS-SSIM are pyiqa's. Degradation: blur, x4,
noise, JPEG, drawn per
segment (`oasis.degrade.draw`). "built-in": the four held-out built-in clips. "real": segments of videos that
were not trained
on; segments of one video are not independent, so that the true uncertainty over videos is larger than these intervals.

| comparison | clips | measure | baseline | method | gain | interval | segments won |
|---|---|---|---|---|---|---|---|
{gains}{cost}
Routed means the `routing.json` beside this card without further training: {counts} heads, {ratio} of the
attention FLOPs.

## Its heads

{share} % of the heads have a KL below 0.7 of a uniform head's for some pattern (`kl_rel` in `heads.csv`, all
built-in clips).

## How it was trained

`oasis train OUT --videos DIR`: the stages of `oasis/train/stages.py`, AdamW, averaged weights; the VAE's
basis, the linear skip and
the input whitening are closed forms. Machine: 2 CPU cores, shared with other work; no GPU.

| stage | steps | learning rate | hours |
|---|---|---|---|
{steps}
Total: {total} hours. ![training curves](loss.png)

Clips (built-in training clips along four camera paths each; real ones under permissive licences, not part of
the package):

{clips}

No held-out clip or photograph, no output of another method and no weights of another network were used. The perceptual
measures above were computed after training and are in no loss.

## Where it fails

It was trained on one moderate family of degradations (Gaussian blur up to 2 pixels, noise up to 6 grey
levels, JPEG from quality
60): strong compression, video-codec artefacts and interlacing stay in the picture. It regresses the mean, so
texture that the LQ
clip does not hold comes back smooth, not invented. Small text stays unreadable. Motion of more than a few
pixels per frame within a
group of four frames is drawn softer than still content. Tiles larger than 48x80 LQ pixels or longer than 17
frames were never
trained on.
"""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One held-out segment: its group ("built-in" or "real"), its clip's name, LQ and HR frames."""

    group: str
    name: str
    lq: UInt8[Tensor, "t 3 h w"]
    hr: UInt8[Tensor, "t 3 y x"]


def held_out(real: Path | None) -> Iterator[Pair]:
    """Yield the held-out built-in clips, and segments of the videos in `real`, degraded with recipes of their own."""
    for name in builtin.names("test"):
        clip = builtin.make(name)
        yield Pair(group="built-in", name=name, lq=_tensor(clip.lq), hr=_tensor(clip.hr))
    paths = sorted(path for path in real.iterdir() if path.suffix in video.SUFFIXES) if real else []
    for number, path in enumerate(paths):
        frames = rearrange(video.read(path).frames, "t c h w -> t h w c").numpy()
        if min(frames.shape[1:3]) >= 720:
            frames = reduce_by_2(frames)
        frames = frames[:, : frames.shape[1] // 4 * 4, : frames.shape[2] // 4 * 4]
        count = min(SEGMENTS, max(1, len(frames) // SEGMENT))
        for segment, start in enumerate(np.linspace(0, max(0, len(frames) - SEGMENT), count).astype(int)):
            hr = frames[start : start + SEGMENT]
            recipe = degrade.draw(np.random.default_rng((number, segment)))
            lq = degrade.apply(recipe, hr, seed=1000 * number + segment)
            yield Pair(group="real", name=f"{path.stem}-{start}", lq=_tensor(lq), hr=_tensor(hr))


def score(methods: Mapping[str, Callable[[Tensor], Tensor]], pairs: Sequence[Pair]) -> pd.DataFrame:
    """Return rows (group, clip, method, measure, value) of methods that map LQ frames to HR frames."""
    measures = {"psnr_y": pixel.psnr_y, **{name: perceptual.scorer(name) for name in perceptual.WITHOUT_WEIGHTS}}
    return pd.DataFrame(
        {"group": pair.group, "clip": pair.name, "method": name, "measure": measure, "value": compare(output, pair.hr)}
        for pair in pairs
        for name, method in methods.items()
        for output in [method(pair.lq)]
        for measure, compare in measures.items()
    )


def bicubic(lq: UInt8[Tensor, "t 3 h w"]) -> UInt8[Tensor, "t 3 y x"]:
    """Upscale by 4 with the bicubic filter (a = -0.75, torch's), pixel centres aligned as areas."""
    return video.from_network(F.interpolate(video.to_network(lq), scale_factor=4, mode="bicubic"))


def by_model(model: Oasis) -> Callable[[Tensor], Tensor]:
    """Return the model as a function of LQ frames, with the tiles that `oasis upscale` uses."""
    return lambda lq: torch.stack(list(upscale.upscale(model, lq, upscale.Tiling())))


def gains(scores: pd.DataFrame, method: str, baseline: str = "bicubic", seed: int = 0) -> pd.DataFrame:
    """Return the mean gain of `method` with a 95 % bootstrap interval over clips, positive where `method` is better.

    Rows (group, measure, baseline, method, gain, low, high, clips, won).
    """
    wide = scores.pivot_table(index=["group", "measure", "clip"], columns="method", values="value")
    rows = []
    for (group, measure), part in wide.groupby(level=["group", "measure"], sort=False):
        difference = ((part[method] - part[baseline]) * DIRECTION[str(measure)]).to_numpy()
        draws = np.random.default_rng(seed).integers(len(difference), size=(RESAMPLES, len(difference)))
        low, high = np.quantile(difference[draws].mean(axis=1), [0.025, 0.975])
        rows.append(
            {
                "group": group,
                "measure": measure,
                baseline: part[baseline].mean(),
                method: part[method].mean(),
                "gain": difference.mean(),
                "low": low,
                "high": high,
                "clips": len(difference),
                "won": int((difference > 0).sum()),
            }
        )
    return pd.DataFrame(rows)


def loss_curve(log: Path) -> Figure:
    """Draw the training log: one panel per stage, the logged values and their running median."""
    rows = pd.read_csv(log)
    shown = {"decoder": "pixel", "latent": "explained", "pixel": "pixel"}
    titles = {
        "decoder": "decoder: pixel loss",
        "latent": "transformer: share of the residual explained",
        "pixel": "transformer through the decoder: pixel loss",
    }
    figure = Figure(figsize=(11, 3.2), layout="constrained")
    for axis, (stage, column) in zip(figure.subplots(1, 3), shown.items(), strict=True):
        part = rows[rows["stage"] == stage]
        axis.plot(part["step"], part[column], color="0.75", linewidth=0.8, label="each tenth step")
        axis.plot(part["step"], part[column].rolling(21, min_periods=1).median(), color="C0", label="running median")
        axis.set(title=titles[stage], xlabel="step")
        axis.title.set_fontsize(9)
    axis.legend(fontsize=8)
    return figure


def write_loss_curve(log: Path, path: Path) -> None:
    """Write `loss_curve` as a PNG."""
    with files.replacing(path) as temporary:
        loss_curve(log).savefig(temporary, dpi=120, metadata={"Software": None})


def hours(log: Path) -> dict[str, tuple[int, float]]:
    """Return steps and hours of every stage of a training log."""
    rows = pd.read_csv(log)
    return {
        str(name): (int(part["step"].max()) + 1, float(part["seconds"].max()) / 3600)
        for name, part in rows.groupby("stage", sort=False)
    }


def text(
    *,
    scores: pd.DataFrame,
    share: float,
    table: RoutingTable,
    hours: Mapping[str, tuple[int, float]],
    clips: Sequence[str],
    stages: Sequence[Mapping[str, object]],
) -> str:
    """Return the card as Markdown; every number in it comes from the arguments."""
    counts = ", ".join(f"{count} {table.patterns[letter].name}" for letter, count in table.counts().items())
    rates = {str(stage["name"]): stage["learning_rate"] for stage in stages}
    steps = "".join(f"| {name} | {count} | {rates[name]} | {spent:.2f} |\n" for name, (count, spent) in hours.items())
    return _CARD.format(
        gains="".join(_gain_rows(gains(scores, "dense"), "dense")) + "".join(_gain_rows(gains(scores, "routed"), "routed")),
        cost="".join(_gain_rows(gains(scores, "routed", baseline="dense"), "routed", baseline="dense")),
        share=f"{100 * share:.0f}",
        counts=counts,
        ratio=f"{table.rule['attention_flops_ratio']:.2f}",
        steps=steps,
        total=f"{sum(spent for _, spent in hours.values()):.1f}",
        clips="\n".join(f"- {name}" for name in clips),
        sha256=table.weights_sha256,
    )


def _gain_rows(rows: pd.DataFrame, method: str, baseline: str = "bicubic") -> Iterator[str]:
    for row in rows.to_dict("records"):
        yield (
            f"| {method} against {baseline} | {row['group']} | {row['measure']} | {row[baseline]:.4f} | {row[method]:.4f} "
            f"| {row['gain']:+.4f} | {row['low']:+.4f} .. {row['high']:+.4f} | {row['won']} of {row['clips']} |\n"
        )


def _tensor(pixels: np.ndarray) -> Tensor:
    return rearrange(torch.from_numpy(np.ascontiguousarray(pixels)), "t h w c -> t c h w")
