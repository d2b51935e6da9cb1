"""Where the picture of one clip lies in the other: shift, drift and scatter, in pixels of the reference."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8
from numpy import ndarray

WHOLE = 192
"""Rows or columns from which a side is measured in three regions; below, in one, which tells less and no drift."""
_LEAST = 32  # rows and columns below which nothing is told
_COARSE = 320  # columns or rows at which a place is searched everywhere
_REGION = 256  # columns and rows of a region at most, so that cost does not grow with resolution
_SCALES = (4.0, 1.5)  # standard deviations, in pixels, of the Gaussians before measuring: wide to find, narrow to measure
_TEXTURE = 0.05  # mean squared slope, in grey levels per pixel along the flattest direction, below which nothing is told
_MATCH = 0.5  # correlation coefficient from which a region counts as found again
_STEPS = 10


@dataclass(frozen=True, kw_only=True)
class Place:
    """Output pixel (i, j) shows reference pixel (i + x + drift_x * u, j + y + drift_y * v).

    u and v go from -1 at the left and upper border of the output to 1 at the right and lower one. `scatter` is the spread
    of single measurements (a region in a frame) about that, a robust standard deviation; `matched` of `regions` textured
    regions were found again, `likeness` is the median of their correlation coefficients.
    """

    x: float
    y: float
    drift_x: float
    drift_y: float
    scatter: float
    regions: int
    matched: int
    likeness: float


class _Found(NamedTuple):
    """Where a region of one frame was found: its centre in u and v, its shift, and its correlation there."""

    centre: tuple[float, float]
    shift: Float[ndarray, "2"]
    likeness: float


class _Region(NamedTuple):
    """The same of all frames: the medians, and every shift."""

    centre: Float[ndarray, "2"]
    shifts: Float[ndarray, "f 2"]
    likeness: float


def register(outputs: Sequence[UInt8[ndarray, "h w"]], references: Sequence[UInt8[ndarray, "y x"]]) -> Place | None:
    """Return where the output lies in the reference, from lumas that show the same moments; None if too flat to tell.

    The place is searched everywhere by normalised correlation at low resolution (Lewis 1995), then measured in a 3x3 grid
    of regions of every frame by least squares on slopes (Lucas and Kanade 1981). A region's shift is its median over frames;
    shift and drift are the line of Theil and Sen through the regions.
    """
    height, width = outputs[0].shape
    if min(height, width, *references[0].shape) < _LEAST:
        return None
    start = _search(outputs, references)
    spans = list(itertools.product(_spans(height), _spans(width)))
    frames = [_measure(output, reference, spans, start) for output, reference in zip(outputs, references, strict=True)]
    textured = [region for told in zip(*frames, strict=True) if (region := _region(told))]
    if not textured:
        return None
    matched = [region for region in textured if region.likeness >= _MATCH]
    likeness = float(np.median([region.likeness for region in textured]))
    if not matched:
        x, y = start
        return Place(x=x, y=y, drift_x=0.0, drift_y=0.0, scatter=np.inf, regions=len(textured), matched=0, likeness=likeness)
    centres = np.array([region.centre for region in matched])
    medians = np.array([np.median(region.shifts, axis=0) for region in matched])
    x, drift_x = _line(centres[:, 0], medians[:, 0], width >= WHOLE)
    y, drift_y = _line(centres[:, 1], medians[:, 1], height >= WHOLE)
    expected = [x, y] + [drift_x, drift_y] * centres
    errors = np.concatenate([region.shifts - place for region, place in zip(matched, expected, strict=True)])
    return Place(
        x=x,
        y=y,
        drift_x=drift_x,
        drift_y=drift_y,
        scatter=float(1.4826 * np.median(np.abs(errors))),
        regions=len(textured),
        matched=len(matched),
        likeness=likeness,
    )


def _search(outputs: Sequence[ndarray], references: Sequence[ndarray]) -> tuple[float, float]:
    """Return the whole-frame shift under which the middle of the output correlates best with the reference."""
    factor = max(1, -(-max(*outputs[0].shape, *references[0].shape) // _COARSE))
    total: ndarray | float = 0.0
    for output, reference in zip(outputs, references, strict=True):
        small, field = _shrunk(output, factor), _shrunk(reference, factor)
        rows, columns = (max(1, min(side // 2, limit)) for side, limit in zip(small.shape, field.shape, strict=True))
        top, left = (small.shape[0] - rows) // 2, (small.shape[1] - columns) // 2
        middle = small[top : top + rows, left : left + columns]
        # A flat patch correlates with nothing, which OpenCV returns as anything, also infinity.
        scores = cv2.matchTemplate(field, middle, cv2.TM_CCOEFF_NORMED) if np.ptp(middle) else np.zeros((1, 1))
        total = total + np.where(np.abs(scores) <= 1, scores, 0)
    if not np.ptp(total):
        return 0.0, 0.0
    row, column = np.unravel_index(np.argmax(total), np.shape(total))
    return float(factor * (column - left)), float(factor * (row - top))


def _shrunk(luma: UInt8[ndarray, "h w"], factor: int) -> UInt8[ndarray, "v u"]:
    rows, columns = (max(1, side // factor) for side in luma.shape)
    return cv2.resize(luma[: rows * factor, : columns * factor], (columns, rows), interpolation=cv2.INTER_AREA)


def _smooth(luma: UInt8[ndarray, "h w"], sigma: float) -> Float32[ndarray, "h w"]:
    return cv2.GaussianBlur(luma.astype(np.float32), (0, 0), sigma)


def _spans(side: int) -> list[slice]:
    """Return the middles of the three thirds of a side without its ends, where networks are weak; a short one stays whole."""
    if side < WHOLE:
        return [slice(0, side)]
    border = side // 24
    third = (side - 2 * border) // 3
    length = min(third, _REGION)
    return [slice(start, start + length) for start in (border + third * i + (third - length) // 2 for i in range(3))]


def _measure(
    output: UInt8[ndarray, "h w"],
    reference: UInt8[ndarray, "y x"],
    spans: list[tuple[slice, slice]],
    start: tuple[float, float],
) -> list[_Found | None]:
    """Find every region of a frame, from the coarse scale to the fine; None for what is flat."""
    height, width = output.shape
    scales = [(_smooth(output, sigma), _smooth(reference, sigma)) for sigma in _SCALES]
    found: list[_Found | None] = []
    for rows, columns in spans:
        shift, likeness = np.array(start), 0.0
        patches = [(_Patch(smooth[rows, columns]), within) for smooth, within in scales]
        if any(patch.flat for patch, _ in patches):
            found.append(None)
            continue
        for patch, within in patches:
            likeness = patch.find(within, (columns.start, rows.start), shift)
        column, row = patch.centre
        centre = (2 * (columns.start + column) + 1) / width - 1, (2 * (rows.start + row) + 1) / height - 1
        found.append(_Found(centre, shift, likeness))
    return found


def _region(told: Sequence[_Found | None]) -> _Region | None:
    """Return what all frames say of a region; None if it is flat in most."""
    found = [each for each in told if each]
    if 2 * len(found) < len(told):
        return None
    centre = np.median([each.centre for each in found], axis=0)
    return _Region(centre, np.array([each.shift for each in found]), float(np.median([each.likeness for each in found])))


class _Patch:
    """A region of a smoothed output frame, ready to be found in reference frames."""

    def __init__(self, patch: Float32[ndarray, "h w"]) -> None:
        # Sobel's weights add up to 8.
        self.slopes = [cv2.Sobel(patch, cv2.CV_32F, *axis, scale=1 / 8) for axis in ((1, 0), (0, 1))]
        self.hessian = np.array([[np.vdot(a, b) for b in self.slopes] for a in self.slopes], dtype=np.float64)
        self.flat = bool(np.linalg.eigvalsh(self.hessian)[0] < _TEXTURE * patch.size)
        self.pixels = patch - patch.mean()
        self.norm = float(np.linalg.norm(self.pixels))

    @property
    def centre(self) -> tuple[float, float]:
        """The mean column and row, weighted by texture, for that is where the shift is measured."""
        weights = self.slopes[0] ** 2 + self.slopes[1] ** 2
        rows, columns = (np.arange(side) for side in weights.shape)
        return float(weights.sum(0) @ columns / weights.sum()), float(weights.sum(1) @ rows / weights.sum())

    def find(self, reference: Float32[ndarray, "y x"], corner: tuple[int, int], shift: Float[ndarray, "2"]) -> float:
        """Move `shift` in place to where the reference shows the patch, and return the correlation there."""
        likeness = 0.0
        for _ in range(_STEPS):
            x, y = shift + corner
            matrix = np.array([[1, 0, x], [0, 1, y]])
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            size = self.pixels.shape[::-1]
            seen = cv2.warpAffine(reference, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
            seen -= seen.mean()
            norm = float(np.linalg.norm(seen))
            if norm < 1e-3 * self.norm:
                return 0.0
            likeness = float(np.vdot(self.pixels, seen)) / (self.norm * norm)
            # Contrast is no matter of place: both have the same norm here.
            error = self.pixels - seen * (self.norm / norm)
            step = np.linalg.solve(self.hessian, [np.vdot(slope, error) for slope in self.slopes])
            shift += np.clip(step, -4, 4)
            if np.abs(step).max() < 0.01:
                break
        return likeness


def _line(positions: Float[ndarray, "n"], values: Float[ndarray, "n"], sloped: bool) -> tuple[float, float]:
    """Return the value at 0 and the slope; pairs nearer than half a unit, with noisy slopes, do not count."""
    pairs = itertools.combinations(range(len(positions)), 2)
    far = [(i, j) for i, j in pairs if sloped and abs(positions[j] - positions[i]) > 0.5]
    slope = float(np.median([(values[j] - values[i]) / (positions[j] - positions[i]) for i, j in far])) if far else 0.0
    return float(np.median(values - slope * positions)), slope
