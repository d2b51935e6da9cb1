"""PSNR and SSIM of a clip under the protocols of `oasis.measures.pixel`: per frame, then the mean over frames."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy import ndarray
from numpy.typing import NDArray
from torch import Tensor

from oasis.measures.pixel import crop_of
from oasis.metrics.frames import FULL, LIMITED, Frame
from oasis.metrics.meter import Result, Setting, Unavailable
from oasis.metrics.ssim import FLAT, GAUSSIAN, SCALES, ms_ssim, ssim
from oasis.metrics.tecogan import tecogan_crop, tecogan_frames

DOVE = np.array([0.257, 0.504, 0.098])
"""Weights of R, G and B in DOVE's rgb_to_y (zhengchen1999/DOVE@ad649cc)."""


def psnr(
    output: UInt8[ndarray, "h w *c"],
    reference: UInt8[ndarray, "h w *c"],
    *,
    weights: NDArray[np.float64] | None = None,
    eps: float = 0,
) -> float:
    """Return the PSNR in dB against a peak of 255: over all channels, or of the luma that `weights` of R, G and B make.

    `eps` is added to the squared error of values in [0, 1]; without it equal images are infinitely good.
    """
    if weights is None:
        error = cv2.norm(output, reference, cv2.NORM_L2SQR) / output.size
    else:
        # Luma is linear: one transform of the difference will do, in float64 as colours may differ and their luma hardly.
        difference = cv2.transform(cv2.subtract(output, reference, dtype=cv2.CV_64F), weights[None])
        error = cv2.norm(difference, cv2.NORM_L2SQR) / difference.size
    error = error / 255**2 + eps
    return -10 * math.log10(error) if error else math.inf


def make(names: Sequence[str], setting: Setting) -> "Pixels":
    """Return the PSNR and SSIM called `names` for one clip; ValueError for a clip too small or short for one of them."""
    return Pixels([_score(name, setting) for name in names])


class Pixels:
    """Measures that compare a frame with its reference and nothing else."""

    def __init__(self, scores: "Sequence[_Score]") -> None:
        self._scores = scores
        self._values: dict[str, dict[int, float]] = {score.name: {} for score in scores}
        self._seen = 0

    def add(self, output: Frame, reference: Frame | None) -> None:
        """Take the next frame and its reference; `Unavailable` without one."""
        if reference is None:
            raise Unavailable("PSNR and SSIM compare with a ground truth; there is none")
        for score in self._scores:
            if score.frames is None or self._seen in score.frames:
                self._values[score.name][self._seen] = score.of(output, reference)
        self._seen += 1

    def result(self) -> dict[str, Result]:
        """Return the mean over frames of each measure, and its values frame by frame."""
        for name, values in self._values.items():
            if not values:
                raise ValueError(f"{name}: none of the {self._seen} frames counts")
        return {
            name: Result(value=float(np.mean(list(values.values()))), series=tuple(values.values()), numbers=tuple(values))
            for name, values in self._values.items()
        }


def _rgb(frame: Frame) -> UInt8[ndarray, "h w 3"]:
    return frame.rgb


def _y(frame: Frame) -> Float[ndarray, "h w"]:
    return frame.y


def _y_rounded(frame: Frame) -> UInt8[ndarray, "h w"]:
    """Return limited-range luma, halves rounded up, in integers: it is a multiple of 1/255000 and often ends on a half."""
    parts = frame.rgb @ np.array([65481, 128553, 24966], dtype=np.int32)
    return ((parts + (16 * 255000 + 127500)) // 255000).astype(np.uint8)


def _y_pyiqa(frame: Frame) -> UInt8[ndarray, "h w"]:
    """Return full-range luma, rounded, by pyiqa's own steps in float32: they decide which way halves go."""
    r, g, b = (frame.rgb[..., channel].astype(np.float32) / 255 * np.float32(FULL[channel]) for channel in range(3))
    return np.rint((r + g + b) * 255).astype(np.uint8)


def _ssim_tecogan(output: Float[ndarray, "h w"], reference: Float[ndarray, "h w"]) -> float:
    peak = float(output.max() - output.min())
    if not peak:
        raise ValueError("ssim@tecogan: its constants are shares of the output's range, and a frame's luma is constant")
    return ssim(output, reference, taps=FLAT, peak=peak, sample=True)


# What a protocol looks at, and how it compares two of them.
_PROTOCOLS: dict[str, tuple[Callable[[Frame], ndarray], Callable[[ndarray, ndarray], float]]] = {
    "psnr@rgb": (_rgb, psnr),
    "psnr@y": (_rgb, partial(psnr, weights=LIMITED)),
    "psnr@y-rounded": (_y_rounded, psnr),
    "psnr@y-full": (_rgb, partial(psnr, weights=FULL)),
    "psnr@pyiqa": (_rgb, partial(psnr, eps=1e-8)),
    "psnr@pyiqa-y": (_rgb, partial(psnr, weights=FULL, eps=1e-8)),
    "psnr@dove-y": (_rgb, partial(psnr, weights=DOVE, eps=1e-8)),
    "psnr@tecogan": (_rgb, partial(psnr, weights=LIMITED)),
    "ssim@rgb": (_rgb, ssim),
    "ssim@y": (_y, ssim),
    "ssim@pyiqa": (_y_pyiqa, partial(ssim, clamp=True)),
    "ssim@pyiqa-rgb": (_rgb, partial(ssim, clamp=True)),
    "ssim@tecogan": (_y, _ssim_tecogan),
    "ms_ssim@pyiqa": (_y_pyiqa, ms_ssim),
}


@dataclass(frozen=True, kw_only=True)
class _Score:
    """One measure on one clip: the frames (None for all) and pixels that count, what is looked at, how it is compared."""

    name: str
    frames: range | None
    inside: tuple[slice, slice]
    view: Callable[[Frame], ndarray]
    compare: Callable[[ndarray, ndarray], float]

    def of(self, output: Frame, reference: Frame) -> float:
        return self.compare(self.view(output)[self.inside], self.view(reference)[self.inside])


def _score(name: str, setting: Setting) -> _Score:
    base, border = crop_of(name)
    frames = None
    if base.endswith("@tecogan"):
        frames, inside = tecogan_frames(setting.frames), tecogan_crop(setting.height, setting.width)
    else:
        coarsest = (len(GAUSSIAN) - 1) * 2 ** (len(SCALES) - 1) + 1  # at its coarsest scale there is one whole window
        least = {"psnr": 1, "ssim": len(GAUSSIAN), "ms_ssim": coarsest}[base.partition("@")[0]]
        if min(setting.height, setting.width) - 2 * border < least:
            raise ValueError(
                f"{name}: of {setting.height}x{setting.width} pixels a border of {border} must leave {least}x{least} or more"
            )
        inside = (slice(border, setting.height - border), slice(border, setting.width - border))
    view, compare = _PROTOCOLS[base]
    return _Score(name=name, frames=frames, inside=inside, view=view, compare=compare)


def luma(frames: UInt8[Tensor, "t 3 h w"]) -> Float[Tensor, "t h w"]:
    """Return Y of BT.601 in limited range, 16..235, as MATLAB's rgb2ycbcr and BasicSR compute it."""
    weights = torch.tensor([65.481, 128.553, 24.966], dtype=torch.float64, device=frames.device)
    return 16 + torch.einsum("tchw,c->thw", frames.double() / 255, weights)


def psnr_y(frames: UInt8[Tensor, "t 3 h w"], reference: UInt8[Tensor, "t 3 h w"]) -> float:
    """Return PSNR of limited-range luma in dB: per frame against a peak of 255, mean over frames, no border cut."""
    if frames.shape != reference.shape:
        raise ValueError(f"clips of {tuple(frames.shape)} and {tuple(reference.shape)} cannot be compared")
    error = (luma(frames) - luma(reference)).square().mean(dim=(1, 2))
    return float((10 * torch.log10(255**2 / error)).mean())
