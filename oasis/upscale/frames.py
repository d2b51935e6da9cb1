"""Frames in, larger frames out: every chunk in tiles, one step each."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor

from oasis import cuts, video
from oasis.model.feather import feather, spans
from oasis.model.oasis import Oasis
from oasis.tiling import Tiling
from oasis.upscale.chunks import Seam, chunks


def upscale(
    model: Oasis,
    frames: Iterable[UInt8[Tensor, "3 h w"]],
    tiling: Tiling,
    *,
    find_cuts: bool = False,
    tick: Callable[[], Any] = lambda: None,
) -> Iterator[UInt8[Tensor, "3 y x"]]:
    """Yield as many frames as come in, each exactly `scale` times as large; `tick` is called for every frame out.

    Holds one chunk of frames at a time, whatever the length of the clip. All frames are taken for one scene, or, with
    `find_cuts`, no chunk holds frames of two, as `oasis upscale` does it.
    """
    seam = Seam()
    for chunk in chunks(cuts.marked(frames, _picture) if find_cuts else ((frame, False) for frame in frames), tiling):
        lq = torch.stack([video.to_network(frame[None])[0] for frame in chunk.frames], dim=1)[None]
        ready = seam.join(chunk, upscale_chunk(model, lq.to(model.prompt), tiling))
        for frame in video.from_network(ready[0].transpose(0, 1)):
            tick()
            yield frame


@torch.no_grad()  # not inference_mode: the next chunk is mixed into this one in place
def upscale_chunk(model: Oasis, lq: Float[Tensor, "1 3 t h w"], tiling: Tiling) -> Float[Tensor, "1 3 t y x"]:
    """Return a chunk in [-1, 1] upscaled in tiles, in float32 at least; where they overlap, weights rise and fall linearly."""
    scale = model.config.scale
    _, _, t, h, w = lq.shape
    wide = torch.promote_types(lq.dtype, torch.float32)
    total = lq.new_zeros(1, 3, t, h * scale, w * scale, dtype=wide)
    weight = lq.new_zeros(h * scale, w * scale, dtype=wide)
    for rows in spans(h, tiling.height, tiling.overlap):
        for columns in spans(w, tiling.width, tiling.overlap):
            tile = model(lq[..., rows.scaled(1), columns.scaled(1)])
            mask = feather(rows, h, tiling.overlap, scale)[:, None] * feather(columns, w, tiling.overlap, scale)
            inside = (..., rows.scaled(scale), columns.scaled(scale))
            total[inside] += tile.to(wide) * mask.to(total)
            weight[inside] += mask.to(total)
    return total.div_(weight)  # in place: a chunk of a large clip is a large part of all memory


def _picture(frame: UInt8[Tensor, "3 h w"]) -> UInt8[ndarray, "h w 3"]:
    return np.ascontiguousarray(rearrange(frame, "c h w -> h w c").cpu().numpy())
