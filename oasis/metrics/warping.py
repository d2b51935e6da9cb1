"""Warping error, E*_warp: how far the next frame, warped back by the motion, is from this one."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float, Float32
from numpy import ndarray
from torch import Tensor, nn
from torch.nn import functional

from oasis import weights
from oasis.metrics import flow
from oasis.metrics.frames import Frame
from oasis.metrics.framewise import check_size
from oasis.metrics.meter import Setting, Unavailable
from oasis.metrics.pairwise import Pairwise, Score, Shown


class Motion(NamedTuple):
    """Where the points of a frame go, and which of them the next frame does not show."""

    flow: Float32[ndarray, "h w 2"]
    hidden: Bool[ndarray, "h w"]


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """Whose flow warps, and whether everything happens as in EvalCrafter: at half size, padded, summed over channels."""

    by: Literal["raft", "raft-exact", "dis", "true"]
    of: Literal["output", "reference"] = "reference"
    evalcrafter: bool = False

    def image(self, frame: Frame) -> Float[Tensor, "1 3 h w"]:
        """Return what is warped and scored, RGB in [0, 1]."""
        return half_padded(frame.tensor) if self.evalcrafter else frame.tensor

    def error(self, earlier: Frame, later: Frame, motion: Motion) -> float:
        """Return the warping error of a pair, not times 1000; over RGB its sum is three times its mean."""
        error = warping_error(self.image(earlier), self.image(later), motion)
        return 3 * error if self.evalcrafter else error


PROTOCOLS = {
    "lai-full-occ-x1000": Protocol(by="raft"),
    "lai-output-full-occ-x1000": Protocol(by="raft", of="output"),
    "dove-half-occ-x1000": Protocol(by="raft", of="output", evalcrafter=True),
    "dove-exact-half-occ-x1000": Protocol(by="raft-exact", of="output", evalcrafter=True),
    "dis-full-occ-x1000": Protocol(by="dis"),
    "dis-output-full-occ-x1000": Protocol(by="dis", of="output"),
    "true-flow-x1000": Protocol(by="true"),
}
TWICE = (-1.0, 2 / 255 - 1)
"""What RAFT sees of [0, 1] where a script divides by 255 twice."""


def warp(image: Float[Tensor, "1 c h w"], way: Float[ndarray, "h w 2"]) -> Float[Tensor, "1 c h w"]:
    """Return `image` sampled where `way` (dx, dy in pixels) leads, in float64."""
    return sample(image.double(), torch.from_numpy(way).double()[None])


def sample(image: Float[Tensor, "n c h w"], way: Float[Tensor, "n h w 2"]) -> Float[Tensor, "n c h w"]:
    """Return each of `image` at the places to which its `way` (dx, dy in pixels, of the same type) leads from every pixel.

    Bilinear; coordinates are clamped to the border.
    """
    height, width = way.shape[1:3]
    rows, columns = (torch.arange(length, dtype=way.dtype, device=way.device) for length in (height, width))
    points = way + torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)
    grid = 2 * points / way.new_tensor([max(width - 1, 1), max(height - 1, 1)]) - 1
    return functional.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=True)


def occluded(forward: Float[ndarray, "h w 2"], backward: Float[ndarray, "h w 2"]) -> Bool[ndarray, "h w"]:
    """Return the points whose way back does not undo their way, and those at motion boundaries.

    Lai et al. 2018 after Ruder et al. 2016; the thresholds of phoenix104104/fast_blind_video_consistency@bce0c7e.
    """
    forward = forward.astype(np.float64)
    returned = rearrange(warp(rearrange(torch.from_numpy(backward), "h w c -> 1 c h w"), forward), "1 c h w -> h w c").numpy()
    unmatched = _squared(forward + returned) > 0.01 * (_squared(returned) + _squared(forward)) + 0.5
    across = np.diff(forward, axis=1, append=forward[:, -1:])
    down = np.diff(forward, axis=0, append=forward[-1:])
    boundary = _squared(across) + _squared(down) > 0.01 * _squared(forward) + 0.002
    return unmatched | boundary


def _squared(way: Float[ndarray, "h w 2"]) -> Float[ndarray, "h w"]:
    return np.einsum("hwc,hwc->hw", way, way)


def warping_error(earlier: Float[Tensor, "1 3 h w"], later: Float[Tensor, "1 3 h w"], motion: Motion) -> float:
    """Return the mean squared difference per channel of `later`, warped, and `earlier` where it is not hidden.

    0 if everything is hidden, as in phoenix104104/fast_blind_video_consistency@bce0c7e.
    """
    squared = (warp(later, motion.flow) - earlier.double()).square().mean(dim=1)[0]
    seen = squared[torch.from_numpy(~motion.hidden)]
    return float(seen.mean()) if len(seen) else 0.0


def half_padded(image: Float[Tensor, "1 3 h w"]) -> Float[Tensor, "1 3 y x"]:
    """Return half the size (bilinear: means of 2x2 pixels, an odd last row or column dropped), padded to multiples of 8."""
    return flow.pad(functional.interpolate(image, scale_factor=0.5, mode="bilinear", align_corners=False))


def make(names: Sequence[str], setting: Setting) -> Pairwise:
    """Return the meter of `ewarp@...` and `ewarp_excess@...`.

    `Unavailable` without RAFT's weights or the exact flow, ValueError for clips that are too short or too small.
    """
    raft = functools.cache(flow.raft)
    scores: dict[str, Score] = {}
    try:
        for key in {name.partition("@")[2] for name in names}:
            scores |= _scores(key, setting, raft)
    except weights.Missing as error:
        raise Unavailable(str(error)) from error
    return Pairwise({name: scores[name] for name in names}, setting, dict.fromkeys(names, lambda: "none shows a point twice"))


Load = Callable[[str, str], nn.Module]
Find = Callable[[Frame, Frame], Float32[ndarray, "h w 2"]]
Follow = Callable[[int, Shown, Shown], Motion]


def _scores(key: str, setting: Setting, raft: Load) -> dict[str, Score]:
    protocol = PROTOCOLS[key]
    follow = functools.lru_cache(maxsize=1)(_follower(protocol, setting, raft))

    @functools.lru_cache(maxsize=1)
    def error(number: int, before: Shown, now: Shown) -> float | None:
        motion = follow(number, before, now)
        # In the published code a pair without a common point scores 0; here it would pass for perfect.
        if protocol.by == "true" and motion.hidden.all():
            return None
        return 1000 * protocol.error(before.output, now.output, motion)

    def excess(number: int, before: Shown, now: Shown) -> float | None:
        of_output = error(number, before, now)
        if of_output is None:
            return None
        return of_output - 1000 * protocol.error(before.known(), now.known(), follow(number, before, now))

    return {f"ewarp@{key}": error, f"ewarp_excess@{key}": excess}


def _follower(protocol: Protocol, setting: Setting, raft: Load) -> Follow:
    if protocol.by == "true":
        return _true_motion(setting)
    find = _finder(protocol, setting, raft)

    def follow(number: int, before: Shown, now: Shown) -> Motion:
        first, second = (shown.output if protocol.of == "output" else shown.known() for shown in (before, now))
        forward, backward = find(first, second), find(second, first)
        return Motion(forward, occluded(forward, backward))

    return follow


def _true_motion(setting: Setting) -> Follow:
    true_flow = setting.true_flow
    if true_flow is None:
        raise Unavailable(f"{setting.clip}: exact motion is known of the built-in clips only")
    height, width = true_flow(0)[0].shape[:2]
    if (height, width) != (setting.height, setting.width):
        raise ValueError(
            f"{setting.clip}: its motion is of {height}x{width} pixels, the frames have {setting.height}x{setting.width}"
        )
    return lambda number, before, now: Motion(*true_flow(number - 1))


def _finder(protocol: Protocol, setting: Setting, raft: Load) -> Find:
    if protocol.by == "dis":
        check_size("OpenCV's DIS", flow.OPENCV_SIDE, setting)
        return lambda first, second: flow.dis(first.grey, second.grey)
    check_size("RAFT at half size" if protocol.evalcrafter else "RAFT", flow.RAFT_SIDE * (1 + protocol.evalcrafter), setting)
    exact = protocol.by == "raft-exact"
    network = raft(flow.THINGS if exact else flow.TORCHVISION, setting.device)
    estimate = flow.Raft(network=network, sees=TWICE if exact else (-1, 1), device=setting.device)
    return lambda first, second: estimate(protocol.image(first), protocol.image(second))
