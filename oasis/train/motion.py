"""How the points of a clean clip move: exactly where that is known, else as RAFT estimates it."""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from einops import rearrange, reduce
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from oasis.data.builtin import BuiltinClip
from oasis.metrics import flow
from oasis.metrics.warping import occluded
from oasis.weights import WEIGHTS

Estimate = Callable[[Tensor, Tensor], np.ndarray]
"""Two frames "1 3 h w" in [0, 1] to the flow "h w 2" (dx, dy) in pixels of the first."""


class Motion(NamedTuple):
    """Where the points of each frame but the last are in the next frame, and whether that frame shows them.

    `flow` holds (dx, dy) in pixels. Whether a point leaves the frame need not be in `seen`: a loss sees it from the flow.
    """

    flow: Float[Tensor, "*b pairs h w 2"]
    seen: Bool[Tensor, "*b pairs h w"]


def motion_of(name: str, clip: BuiltinClip | UInt8[np.ndarray, "t h w 3"], estimate: Estimate | None = None) -> Motion:
    """Return the motion of a clean clip on the CPU: exact for a built-in one, else by `estimate` (`raft`).

    ValueError for any other clip without `estimate`.
    """
    if isinstance(clip, BuiltinClip):
        return Motion(torch.from_numpy(clip.flow), torch.from_numpy(~clip.occluded))
    if estimate is None:
        raise ValueError(
            f"{name}: the warped difference loss cannot be used with it, because its motion is not known: "
            f"it is no built-in clip, and there is no RAFT ({WEIGHTS[flow.TORCHVISION].file}) to estimate it"
        )
    frames = rearrange(torch.from_numpy(clip), "t h w c -> t 1 c h w").float() / 255
    pairs = [_estimated(first, second, estimate) for first, second in itertools.pairwise(frames)]
    if not pairs:
        return Motion(torch.zeros(0, *clip.shape[1:3], 2), torch.zeros(0, *clip.shape[1:3], dtype=torch.bool))
    return Motion(*(torch.stack(parts) for parts in zip(*pairs, strict=True)))


def raft(device: str = "cpu") -> Estimate:
    """Return torchvision's RAFT-large with the weights in `$OASIS_WEIGHTS`; `weights.Missing` if they are not there.

    It refuses frames with a side below 128 pixels, so estimate the motion of whole clips and `cut` it.
    """
    return flow.Raft(network=flow.raft(flow.TORCHVISION, device), device=device)


def cut(
    motion: Motion, *, first: int, frames: int, top: int, left: int, height: int, width: int, halve: bool = False
) -> Motion:
    """Return the motion of a crop of `frames` frames of `height` x `width` pixels, of a clip "pairs h w".

    With `halve` twice as many rows and columns are taken and 2x2 pixels become one, which is seen if all four are.
    """
    factor = 2 if halve else 1
    where = (slice(first, first + frames - 1), slice(top, top + height * factor), slice(left, left + width * factor))
    way, seen = motion.flow[where], motion.seen[where]
    if way.shape[:3] != (frames - 1, height * factor, width * factor):
        raise ValueError(
            f"a crop of {frames} frames of {width * factor}x{height * factor} pixels from frame {first}, row {top}, column "
            f"{left} does not lie in a clip of {len(motion.flow) + 1} frames of {motion.flow.shape[2]}x{motion.flow.shape[1]}"
        )
    if not halve:
        return Motion(way, seen)
    axes = "p (h fh) (w fw) ... -> p h w ..."
    return Motion(reduce(way, axes, "mean", fh=2, fw=2) / 2, reduce(seen, axes, "all", fh=2, fw=2))


def mirror(motion: Motion) -> Motion:
    """Return the motion of the clip mirrored left to right."""
    return Motion(motion.flow.flip(-2) * motion.flow.new_tensor([-1.0, 1.0]), motion.seen.flip(-1))


def _estimated(first: Tensor, second: Tensor, estimate: Estimate) -> tuple[Tensor, Tensor]:
    forward, backward = estimate(first, second), estimate(second, first)
    return torch.from_numpy(forward), torch.from_numpy(~occluded(forward, backward))
