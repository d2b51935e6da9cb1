"""Temporal measures: warping error, flow and LPIPS differences in time, flicker, and errors at boundaries."""

import re
from typing import Any

from oasis.measures.measure import Measure, Needs

_TORCHVISION: dict[str, Any] = dict(weights=("raft_large_torchvision",), licence="Apache-2.0; weights BSD-3-Clause")
_THINGS: dict[str, Any] = dict(weights=("raft_things_official",), licence="Apache-2.0; weights BSD-3-Clause")
_RAFT = "RAFT-large of torchvision, 20 updates"
_DIS = (
    "OpenCV's DIS, preset medium: finest scale 1, patches of 8 every 3 pixels, 25 gradient steps, 5 variational iterations "
    "(alpha 20, delta 5, gamma 10), mean normalisation, spatial propagation"
)
_FULL = (
    "mean squared error per channel, RGB 0..1, of frame t+1 warped to t against t, full size, without occluded pixels and "
    "motion boundaries; the pair across a scene cut counts, as in the source; flow of the "
)
_HALF = (
    "squared error summed over RGB 0..1 of frame t+1 warped to t against t, half size, padded to multiples of 8 by repetition "
    "and the padding scored, without occluded pixels and motion boundaries; the pair across a scene cut counts, as in the "
    "source; flow of the output by "
)
_LAI_FLOW = f"{_FULL}reference by {_RAFT} (the original: FlowNet2, of the unprocessed input)"
_DIS_FLOW = f"{_FULL}reference by {_DIS}"
_TRUE_FLOW = (
    "mean squared error per channel, RGB 0..1, of frame t+1 warped to t against t, by the exact flow of a rendered clip, "
    "where t+1 shows the point; pairs across a scene cut show none and are left out"
)
_LAI = "Lai et al. 2018, phoenix104104/fast_blind_video_consistency@bce0c7e"
_EVALCRAFTER = "evalcrafter/EvalCrafter@1275bda; used by STAR, inferred for DOVE and OASIS"
_TECOGAN = "thunil/TecoGAN@bc747a4 (metrics.py)"
_STABLEVSR = "claudiom4sir/StableVSR@edced5e (eval.py)"


def _ewarp(protocol: str, what: str, source: str, needs: Needs, **weights: Any) -> Measure:
    what = f"{what}; blur lowers it: read it beside sharpness@laplacian"
    return Measure(
        name=f"ewarp@{protocol}-x1000", unit="x1e-3", better="lower", needs=needs, what=what, source=source, **weights
    )


def _excess(protocol: str, what: str, **weights: Any) -> Measure:
    what = (
        f"{what}; minus that of the reference under the same flow and mask: a blurred video has less of it than the reference"
    )
    name = f"ewarp_excess@{protocol}-x1000"
    return Measure(name=name, unit="x1e-3", better="zero", needs="reference", what=what, source="ours", **weights)


WARPING = (
    _ewarp("lai-full-occ", _LAI_FLOW, _LAI, "reference", **_TORCHVISION),
    _excess("lai-full-occ", _LAI_FLOW, **_TORCHVISION),
    _ewarp("lai-output-full-occ", f"{_FULL}output by {_RAFT}", f"{_LAI}, of another video", "nothing", **_TORCHVISION),
    _ewarp(
        "dove-half-occ",
        f"{_HALF}{_RAFT} (the original: RAFT-things), which sees [-1, 1] as it should",
        _EVALCRAFTER,
        "nothing",
        **_TORCHVISION,
    ),
    _ewarp(
        "dove-exact-half-occ",
        f"{_HALF}RAFT-things, 20 updates, with the source's double division by 255, so that it sees [-1, -0.992]",
        _EVALCRAFTER,
        "nothing",
        **_THINGS,
    ),
    _ewarp("dis-full-occ", _DIS_FLOW, f"{_LAI}, with another flow", "reference"),
    _excess("dis-full-occ", _DIS_FLOW),
    _ewarp("dis-output-full-occ", f"{_FULL}output by {_DIS}", f"{_LAI}, with another flow", "nothing"),
    _ewarp("true-flow", _TRUE_FLOW, "ours", "true flow"),
    _excess("true-flow", _TRUE_FLOW),
)

TIME = (
    Measure(
        name="tof@tecogan",
        unit="px",
        better="lower",
        needs="reference",
        what="mean length of the difference of the Farneback flows of output and reference (of grey; 0.5, 3, 15, 3, 5, 1.2, 0) "
        "from t-1 to t, full frames, flow cut to TecoGAN's centre; t from 3 to the last but two; not times 10",
        source=_TECOGAN,
    ),
    Measure(
        name="tof@farneback",
        unit="px",
        better="lower",
        needs="reference",
        what="as tof@tecogan, over all pairs and whole frames",
        source="ours, after TecoGAN's",
    ),
    Measure(
        name="tof@stablevsr",
        unit="0.1 px",
        better="lower",
        needs="reference",
        what="10 times the mean absolute difference, per component, of the flows of output and reference from t to t-1 by "
        "RAFT-large of torchvision, 12 updates; as in the source it sees [0, 1], not [-1, 1], and its batch norms take the "
        "statistics of each image, because the network is left in training mode there",
        source=_STABLEVSR,
        **_TORCHVISION,
    ),
    Measure(
        name="tlp@tecogan",
        unit="x1e-2",
        better="lower",
        needs="reference",
        what="absolute difference of LPIPS (alex) from t-1 to t between output and reference, TecoGAN's crop and frames",
        source=_TECOGAN,
        weights=("alexnet",),
    ),
    Measure(
        name="tlp@stablevsr",
        unit="x1e-3",
        better="lower",
        needs="reference",
        what="absolute difference of LPIPS (alex) from t-1 to t between output and reference, all pairs, whole frames",
        source=_STABLEVSR,
        weights=("alexnet",),
    ),
    Measure(
        name="flicker@static",
        unit="grey levels",
        better="lower",
        needs="reference",
        what="mean absolute difference of neighbouring output frames, RGB 0..255, where the reference stays still: all "
        "channels of 3x3 pixels change by at most 2; pairs with less than 0.1 % of such pixels do not count",
        source="ours",
    ),
    Measure(
        name="flicker@vbench",
        unit="",
        better="higher",
        needs="nothing",
        what="(255 - mean absolute difference of neighbouring frames) / 255 without VBench's filter for static videos: on a "
        "moving clip it measures the motion",
        source="Vchitect/VBench@45e79ec (temporal_flickering)",
    ),
    Measure(
        name="sharpness@laplacian",
        unit="",
        better="higher",
        needs="nothing",
        what="variance of OpenCV's Laplacian of grey frames, 0..255, to stand beside a warping error; noise and ringing raise "
        "it as detail does, so that higher is not always better",
        source="Pech-Pacheco et al. 2000",
        digits=2,
    ),
)


_CHANGE = "mean absolute error of the change from frame to frame, RGB,"
_PAIRS = "over the mean of all other pairs; pairs across a scene cut are left out; 1: no visible boundary"


def find_boundary(name: str) -> Measure | None:
    """Return the measure `boundary@cut`, `boundary@chunk-N` or `boundary@tile-HxW` (numbers from 2), None if `name` is none."""
    chunk, tile = chunk_of(name), tile_of(name)
    if name == "boundary@cut":
        what = f"{_CHANGE} in the last pair before and the first pair after a scene cut, {_PAIRS}"
    elif chunk is not None:
        what = f"{_CHANGE} from the last frame of a chunk of {chunk} to the first of the next, {_PAIRS}"
    elif tile is not None:
        what = (
            f"mean absolute error of the step between neighbouring pixels, RGB, at seams every {tile[0]} rows and {tile[1]} "
            "columns, over the mean at all other steps of that direction; mean of both directions; 1: no visible seam"
        )
    else:
        return None
    return Measure(name=name, unit="ratio", better="one", needs="reference", what=what, source="ours")


def chunk_of(name: str) -> int | None:
    """Return N of `boundary@chunk-N`, the frames of a chunk; None for any other name."""
    match = re.fullmatch(r"boundary@chunk-([1-9]\d*)", name)
    return int(match[1]) if match and int(match[1]) >= 2 else None


def tile_of(name: str) -> tuple[int, int] | None:
    """Return H and W of `boundary@tile-HxW`, the rows and columns between seams; None for any other name."""
    match = re.fullmatch(r"boundary@tile-([1-9]\d*)x([1-9]\d*)", name)
    return (int(match[1]), int(match[2])) if match and min(int(match[1]), int(match[2])) >= 2 else None


BOUNDARY = tuple(
    measure
    for name in ("boundary@chunk-8", "boundary@chunk-13", "boundary@tile-160x288", "boundary@cut")
    if (measure := find_boundary(name))
)
"""Examples: chunks and tiles of other sizes are measures as well; 13 and 160x288 are the strides of `oasis upscale` at x4."""

TEMPORAL = (*WARPING, *TIME, *BOUNDARY)
