"""Upscale a clip of any length and size in bounded memory: chunks of frames, tiles of pixels, one step each."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from oasis import video
from oasis.model.oasis import Oasis
from oasis.tiling import Tiling, starts

__all__ = ["Tiling", "starts", "upscale"]


def upscale(
    model: Oasis,
    frames: Iterable[UInt8[Tensor, "3 h w"]],
    tiling: Tiling,
    *,
    tick: Callable[[], Any] = lambda: None,
) -> Iterator[UInt8[Tensor, "3 y x"]]:
    """Yield as many frames as come in, each exactly `scale` times as large; `tick` is called for every frame out.

    Holds one chunk of frames at a time, whatever the length of the clip.
    """
    waiting: list[Tensor] = []
    tail: Tensor | None = None  # the last frames of the chunk before, still to be mixed with this one's first

    def finish(last: bool) -> Iterator[Tensor]:
        nonlocal waiting, tail
        chunk = _upscale_chunk(model, torch.stack(waiting, dim=1)[None], tiling)
        if tail is not None:
            ramp = _rise(tail.shape[2]).to(chunk)[:, None, None]
            chunk[:, :, : tail.shape[2]] = tail * (1 - ramp) + chunk[:, :, : tail.shape[2]] * ramp
        keep = 0 if last else tiling.overlap_frames
        ready, tail = chunk[:, :, : chunk.shape[2] - keep], chunk[:, :, chunk.shape[2] - keep :] if keep else None
        waiting = waiting[len(waiting) - keep :] if keep else []
        for frame in video.from_network(ready[0].transpose(0, 1)):
            tick()
            yield frame

    for frame in frames:
        # A chunk is finished when the first frame behind it arrives, so that the last one is known to be the last.
        if len(waiting) == tiling.frames:
            yield from finish(last=False)
        waiting.append(video.to_network(frame[None])[0].to(model.prompt))
    if waiting:
        yield from finish(last=True)


@torch.no_grad()  # not inference_mode: the next chunk is mixed into this one in place
def _upscale_chunk(model: Oasis, lq: Float[Tensor, "1 3 t h w"], tiling: Tiling) -> Float[Tensor, "1 3 t y x"]:
    scale = model.config.scale
    _, _, t, h, w = lq.shape
    total = lq.new_zeros(1, 3, t, h * scale, w * scale)
    weight = lq.new_zeros(h * scale, w * scale)
    for top in starts(h, tiling.height, tiling.overlap):
        for left in starts(w, tiling.width, tiling.overlap):
            rows = slice(top, min(top + tiling.height, h))
            columns = slice(left, min(left + tiling.width, w))
            tile = model(lq[:, :, :, rows, columns])
            mask = _ramp(rows, h, tiling.overlap, scale)[:, None] * _ramp(columns, w, tiling.overlap, scale)
            inside = (slice(rows.start * scale, rows.stop * scale), slice(columns.start * scale, columns.stop * scale))
            total[:, :, :, inside[0], inside[1]] += tile * mask.to(tile)
            weight[inside] += mask.to(weight)
    return total / weight


def _ramp(span: slice, length: int, overlap: int, scale: int) -> Float[Tensor, "s"]:
    ramp = torch.ones((span.stop - span.start) * scale)
    if overlap and span.start > 0:
        ramp[: overlap * scale] = _rise(overlap * scale)
    if overlap and span.stop < length:
        ramp[-overlap * scale :] = _rise(overlap * scale).flip(0)
    return ramp


def _rise(length: int) -> Float[Tensor, "s"]:
    return (torch.arange(length) + 1) / (length + 1)
