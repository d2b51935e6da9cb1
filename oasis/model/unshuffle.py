"""From pixels to the latent grid without an encoder: pixel-unshuffle in space and time, and its exact inverse."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from oasis.configs import SCALES, SPATIAL_STRIDE, TEMPORAL_STRIDE
from oasis.tiling import padded_size


def unshuffle(clip: Float[Tensor, "b 3 t h w"], scale: int) -> Float[Tensor, "b c t4 h8 w8"]:
    """Fold a clip that is to be upscaled by `scale` onto the latent grid of its upscaled version.

    Frames fold by 4 and pixels by 8/scale. The causal first frame stands alone, so it fills its group of four:
    groups [f0 f0 f0 f0] [f1..f4] [f5..f8] ... . Needs 4k+1 frames and sides that 8/scale divides (`pad_clip`).
    """
    fold = _fold(scale)
    if (clip.shape[2] - 1) % TEMPORAL_STRIDE or clip.shape[3] % fold or clip.shape[4] % fold:
        raise ValueError(f"a clip of {tuple(clip.shape[2:])} (t, h, w) does not fold by 4k+1 and {fold}; pad it first")
    first = clip[:, :, :1].expand(-1, -1, TEMPORAL_STRIDE - 1, -1, -1)
    return rearrange(
        torch.cat([first, clip], dim=2),
        "b c (t ft) (h fh) (w fw) -> b (c ft fh fw) t h w",
        ft=TEMPORAL_STRIDE,
        fh=fold,
        fw=fold,
    )


def shuffle(folded: Float[Tensor, "b c t4 h8 w8"], scale: int) -> Float[Tensor, "b k t h w"]:
    """Invert `unshuffle`, for any number of channels; of the first group's four frames the last is kept."""
    fold = _fold(scale)
    clip = rearrange(folded, "b (c ft fh fw) t h w -> b c (t ft) (h fh) (w fw)", ft=TEMPORAL_STRIDE, fh=fold, fw=fold)
    return clip[:, :, TEMPORAL_STRIDE - 1 :]


class Padded(NamedTuple):
    """A padded clip and the size (t, h, w) that it had before."""

    clip: Float[Tensor, "b 3 t h w"]
    size: tuple[int, int, int]


def pad_clip(clip: Float[Tensor, "b 3 t h w"], scale: int, patch: tuple[int, int, int]) -> Padded:
    """Repeat the last frame, row and column until the clip folds onto a latent grid that `patch` divides."""
    t, h, w = clip.shape[2:]
    more_t, more_h, more_w = (new - old for new, old in zip(padded_size((t, h, w), scale, patch), (t, h, w), strict=True))
    return Padded(F.pad(clip, (0, more_w, 0, more_h, 0, more_t), mode="replicate"), (t, h, w))


def crop_clip(clip: Float[Tensor, "b 3 t h w"], size: tuple[int, int, int], scale: int) -> Float[Tensor, "b 3 f y x"]:
    """Cut an upscaled padded clip back to `scale` times the `size` (t, h, w) before padding."""
    t, h, w = size
    return clip[:, :, :t, : h * scale, : w * scale]


def _fold(scale: int) -> int:
    if scale not in SCALES:
        raise ValueError(f"scale is {scale}; allowed: {', '.join(map(str, SCALES))}")
    return SPATIAL_STRIDE // scale
