"""What a model scores against bicubic on clips that it never saw, with intervals."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import UInt8
from torch import Tensor

from oasis import degrade, upscale, video
from oasis.data import builtin
from oasis.data.clips import as_tensor
from oasis.metrics import perceptual, pixel
from oasis.model.oasis import Oasis
from oasis.publish import limit
from oasis.train.corpus import reduce_by_2

SEGMENT = 17
SEGMENTS = 3
RESAMPLES = 10_000
DIRECTION = {"psnr_y": 1, "gmsd": -1, "ms_ssim": 1}
"""1 where more is better, -1 where less is."""


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
        yield Pair(group="built-in", name=name, lq=as_tensor(clip.lq), hr=as_tensor(clip.hr))
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
            yield Pair(group="real", name=f"{path.stem}-{start}", lq=as_tensor(lq), hr=as_tensor(hr))


def score(methods: Mapping[str, Callable[[Pair], Tensor]], pairs: Sequence[Pair]) -> pd.DataFrame:
    """Return rows (group, clip, method, measure, value) of methods that give HR frames; only a limit looks at a pair's own."""
    measures = {"psnr_y": pixel.psnr_y, **{name: perceptual.scorer(name) for name in perceptual.WITHOUT_WEIGHTS}}
    return pd.DataFrame(
        {"group": pair.group, "clip": pair.name, "method": name, "measure": measure, "value": compare(output, pair.hr)}
        for pair in pairs
        for name, method in methods.items()
        for output in [method(pair)]
        for measure, compare in measures.items()
    )


def bicubic(pair: Pair) -> UInt8[Tensor, "t 3 y x"]:
    """Upscale by 4 with the bicubic filter (a = -0.75, torch's), pixel centres aligned as areas."""
    return video.from_network(F.interpolate(video.to_network(pair.lq), scale_factor=4, mode="bicubic"))


def in_band(pair: Pair) -> UInt8[Tensor, "t 3 y x"]:
    """Return bicubic frames with all their errors corrected that the LQ grid can hold: a limit, not a method."""
    return limit.in_band(bicubic(pair), pair.hr, scale=4)


def by_model(model: Oasis) -> Callable[[Pair], Tensor]:
    """Return the model as a method, with the tiles that `oasis upscale` uses."""
    return lambda pair: torch.stack(list(upscale.upscale(model, pair.lq, upscale.Tiling())))


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
