"""Measures in time: differences of flow and of LPIPS, flicker; and the sharpness to read beside them."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray

from oasis import weights
from oasis.metrics import flow
from oasis.metrics.frames import Frame
from oasis.metrics.framewise import Framewise, check_size
from oasis.metrics.meter import Result, Setting, Unavailable
from oasis.metrics.pairwise import Pairwise, Score, Shown
from oasis.metrics.tecogan import tecogan_crop, tecogan_frames

STILL = 2
"""Grey levels by which a pixel that stands still may change."""
LEAST_STILL = 0.001
"""The share of a pair's pixels that must stand still for the pair to count."""
WHOLE = (slice(None), slice(None))


def make(names: Sequence[str], setting: Setting) -> "Temporal":
    """Return the meter of `tof@...`, `tlp@...`, `flicker@...` and `sharpness@laplacian`.

    `Unavailable` without the weights of RAFT or LPIPS, ValueError for clips that are too short or too small.
    """
    try:
        scores = {name: _SCORES[name](setting) for name in names if name in _SCORES}
    except weights.Missing as error:
        raise Unavailable(str(error)) from error
    reasons = {name: score.reason for name, score in scores.items() if isinstance(score, Static)}
    frames = {name: sharpness for name in names if name == "sharpness@laplacian"}
    return Temporal(Pairwise(scores, setting, reasons), Framewise(frames, setting))


class Temporal:
    """Measures of pairs and of single frames, taken together."""

    def __init__(self, pairs: Pairwise, frames: Framewise) -> None:
        self._meters = pairs, frames

    def add(self, output: Frame, reference: Frame | None) -> None:
        """Take the next frame; ValueError if a measure needs a reference and there is none."""
        for meter in self._meters:
            meter.add(output, reference)

    def result(self) -> dict[str, Result]:
        """Return the means; ValueError if nothing stands still for `flicker@static`."""
        return {name: result for meter in self._meters for name, result in meter.result().items()}


def sharpness(output: Frame, reference: Frame | None) -> float:
    """Return the variance of OpenCV's Laplacian (3x3, four neighbours) of grey, 0..255."""
    return float(cv2.Laplacian(output.grey, cv2.CV_64F).var())


def still(earlier: UInt8[ndarray, "h w 3"], later: UInt8[ndarray, "h w 3"]) -> Bool[ndarray, "h w"]:
    """Return the pixels that change by at most STILL in every channel, as do the 8 around them."""
    calm = np.all(cv2.absdiff(earlier, later) <= STILL, axis=-1).astype(np.uint8)
    return cv2.erode(calm, np.ones((3, 3), dtype=np.uint8)).astype(bool)


class Static:
    """Flicker where the reference stands still: the mean absolute change of the output there, 0..255."""

    def __init__(self, setting: Setting) -> None:
        self._most = 0.0

    def __call__(self, number: int, before: Shown, now: Shown) -> float | None:
        """Return the flicker of a pair, None if less than LEAST_STILL of it stands still."""
        calm = still(before.known().rgb, now.known().rgb)
        share = float(calm.mean())
        self._most = max(self._most, share)
        return float(_change(before.output, now.output)[calm].mean()) if share >= LEAST_STILL else None

    def reason(self) -> str:
        """Say why no pair counted."""
        return f"at most {self._most:.3%} of the pixels stand still in the reference, {LEAST_STILL:.1%} are needed"


def _change(earlier: Frame, later: Frame) -> UInt8[ndarray, "h w 3"]:
    return cv2.absdiff(earlier.rgb, later.rgb)


def _vbench(setting: Setting) -> Score:
    return lambda number, before, now: (255 - float(_change(before.output, now.output).mean())) / 255


def _farneback(setting: Setting) -> Score:
    check_size("OpenCV's Farneback", flow.OPENCV_SIDE, setting)
    return lambda number, before, now: float(_difference(before, now).mean())


def _tecogan_flow(setting: Setting) -> Score:
    rows, columns = tecogan_crop(setting.height, setting.width)
    counted = _tecogan_pairs(setting)
    return lambda number, before, now: float(_difference(before, now)[rows, columns].mean()) if number in counted else None


def _difference(before: Shown, now: Shown) -> Float[ndarray, "h w"]:
    """Return the lengths of the differences of Farneback flows, in pixels."""
    ours = flow.farneback(before.output.grey, now.output.grey)
    theirs = flow.farneback(before.known().grey, now.known().grey)
    return np.linalg.norm((ours - theirs).astype(np.float64), axis=-1)


def _stablevsr_flow(setting: Setting) -> Score:
    check_size("RAFT", flow.RAFT_SIDE, setting)
    # The source never calls eval(): its batch norms take the statistics of the image at hand.
    network = flow.raft(flow.TORCHVISION, setting.device).train()
    estimate = flow.Raft(network=network, updates=12, sees=(0, 1), device=setting.device)

    def score(number: int, before: Shown, now: Shown) -> float:
        ours = estimate(now.output.tensor, before.output.tensor)
        theirs = estimate(now.known().tensor, before.known().tensor)
        return 10 * float(np.abs(ours - theirs).mean(dtype=np.float64))

    return score


def _tecogan_lpips(setting: Setting) -> Score:
    difference = _lpips_difference(setting, tecogan_crop(setting.height, setting.width))
    counted = _tecogan_pairs(setting)
    return lambda number, before, now: 100 * difference(before, now) if number in counted else None


def _stablevsr_lpips(setting: Setting) -> Score:
    difference = _lpips_difference(setting, WHOLE)
    return lambda number, before, now: 1000 * difference(before, now)


def _lpips_difference(setting: Setting, crop: tuple[slice, slice]) -> Callable[[Shown, Shown], float]:
    from oasis.metrics import perceptual

    lpips = perceptual.lpips_network("alex", setting.device)
    rows, columns = crop

    def distance(earlier: Frame, later: Frame) -> float:
        return float(lpips(earlier.tensor[..., rows, columns], later.tensor[..., rows, columns]))

    return lambda before, now: abs(distance(before.output, now.output) - distance(before.known(), now.known()))


def _tecogan_pairs(setting: Setting) -> range:
    counted = tecogan_frames(setting.frames)[1:]
    if not counted:
        raise ValueError(f"{setting.clip}: TecoGAN's protocol needs 6 frames for a pair, the clip has {setting.frames}")
    return counted


_SCORES: dict[str, Callable[[Setting], Score]] = {
    "tof@tecogan": _tecogan_flow,
    "tof@farneback": _farneback,
    "tof@stablevsr": _stablevsr_flow,
    "tlp@tecogan": _tecogan_lpips,
    "tlp@stablevsr": _stablevsr_lpips,
    "flicker@static": Static,
    "flicker@vbench": _vbench,
}
