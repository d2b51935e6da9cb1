"""Tokens that repeat: how much of a token the frame before foretells, with and without following the motion."""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from jaxtyping import Float, UInt8
from torch import Tensor

from oasis.configs import TEMPORAL_STRIDE
from oasis.grid import Grid
from oasis.metrics.flow import dis
from oasis.metrics.pixel import luma
from oasis.redundancy.rows import Alike, Place
from oasis.redundancy.seen import Seen


def rows(clip: str, seen: Seen, clean: UInt8[Tensor, "t 3 y x"], pixels: tuple[int, int], *, seed: int) -> Iterator[Alike]:
    """Yield how alike tokens are, for every latent frame but the first and the stream before and behind every layer.

    `clean`: the frames from which the motion is estimated (OpenCV's DIS): the ground truth where it is known; a token stands
    for `pixels` (rows, columns) of it. Tokens whose motion leaves the frame are left out, of every place. One latent frame
    gives no row.
    """
    motion = token_motion(clean, seen.grid, pixels)
    for layer, tokens in enumerate(seen.stream, -1):
        wide = tokens.to(torch.promote_types(tokens.dtype, torch.float32))
        grid = seen.grid
        centred = rearrange(wide - wide.mean(0), "(t h w) c -> t c h w", t=grid.t, h=grid.h, w=grid.w)
        for frame, flow in enumerate(motion, 1):
            found = compare(centred[frame], centred[frame - 1], flow.to(centred), seed=seed)
            for place, (cosine, explained) in found.items():
                length = float(flow.square().sum(-1).sqrt().mean())
                yield Alike(clip=clip, layer=layer, frame=frame, place=place, cosine=cosine, explained=explained, motion=length)


def compare(
    now: Float[Tensor, "c h w"], before: Float[Tensor, "c h w"], motion: Float[Tensor, "h w 2"], *, seed: int
) -> dict[Place, tuple[float, float]]:
    """Return (mean cosine, share explained) of the tokens of a frame against others.

    `motion`: where each token of `now` was in `before`, as (dx, dy) in tokens; sampled bilinearly.
    """
    _, height, width = now.shape
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    where = torch.stack([x, y], dim=-1).to(motion) + motion
    last = torch.tensor([width - 1, height - 1]).to(motion)
    inside = ((where >= 0) & (where <= last)).all(-1)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(height * width)).to(now.device)
    others: dict[Place, Tensor] = {
        "same": before,
        "moved": F.grid_sample(before[None], (2 * where / last.clamp_min(1) - 1)[None], align_corners=True)[0],
        # The last column has no neighbour to its right; it takes the one to its left.
        "beside": torch.cat([now[..., 1:], now[..., -2:-1] if width > 1 else now], dim=-1),
        "elsewhere": before.flatten(1)[:, order].view_as(before),
    }
    return {place: _alike(now[:, inside], other[:, inside]) for place, other in others.items()}


def token_motion(clean: UInt8[Tensor, "t 3 y x"], grid: Grid, pixels: tuple[int, int]) -> list[Float[Tensor, "h w 2"]]:
    """Return, for every latent frame but the first, where its tokens were in the latent frame before, in tokens.

    A latent frame stands for four frames (the first for one); motion is taken between their last ones.
    """
    last = [min(TEMPORAL_STRIDE * t, len(clean) - 1) for t in range(grid.t)]
    grey = luma(clean[last]).round().to(torch.uint8).cpu().numpy()
    rows, columns = pixels
    found = []
    for now, before in zip(grey[1:], grey, strict=False):
        flow = rearrange(torch.from_numpy(dis(now, before)), "y x two -> 1 two y x")
        # As the clip was padded: by repeating its last row and column.
        below, right = grid.h * rows - flow.shape[-2], grid.w * columns - flow.shape[-1]
        tokens = F.avg_pool2d(F.pad(flow, (0, right, 0, below), mode="replicate"), pixels)
        found.append(rearrange(tokens, "1 two h w -> h w two") / torch.tensor([columns, rows]))
    return found


def _alike(one: Float[Tensor, "c k"], other: Float[Tensor, "c k"]) -> tuple[float, float]:
    if not one.shape[1]:
        raise ValueError("every token moves out of the frame; the motion of this clip is too strong to follow")
    cosine = F.cosine_similarity(one, other, dim=0).mean()
    explained = 1 - reduce((one - other).double().square(), "c k ->", "sum") / one.double().square().sum()
    return float(cosine), float(explained)
