"""The steps of a second-order recipe: each takes the frames of a clip one by one and gives them back changed.

A frame is float32 "h w 3" in 0..255, not clamped; frames differ in size where the resize factor walks. A step is plain data:
`op` names its function in `STAGES`, lists hold one value per frame. Only noise is random: frame t of step n draws from a
generator of its own, seeded by (seed, n, t), or by (seed, n, 0) where the step says that it is `frozen`.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from oasis.degrade import codec, kernels, noise

Frames = Iterator[Float32[ndarray, "h w 3"]]
Stage = Mapping[str, Any]
Seed = tuple[int, int]
Watch = Callable[[Stage, Frames], Frames]

INTERPOLATIONS = {"bilinear": cv2.INTER_LINEAR, "area": cv2.INTER_AREA, "bicubic": cv2.INTER_CUBIC}


def unwatched(stage: Stage, frames: Frames) -> Frames:
    """Return the frames that a step gave as they are; others `Watch` what passes."""
    return frames


def blur(frames: Frames, stage: Stage, seed: Seed) -> Frames:
    """Filter with one kernel per frame; borders are reflected without their outermost pixel, as OpenCV does by default."""
    family = kernels.FAMILIES[stage["family"]]
    for t, frame in enumerate(frames):
        kernel = family(stage["size"], **{name: values[t] for name, values in stage["parameters"].items()})
        yield cv2.filter2D(frame, -1, kernel)


def resize(frames: Frames, stage: Stage, seed: Seed) -> Frames:
    """Resize with OpenCV; its bicubic has a = -0.75, and neither it nor bilinear is antialiased."""
    interpolation = INTERPOLATIONS[stage["interpolation"]]
    for t, frame in enumerate(frames):
        yield cv2.resize(frame, (stage["width"][t], stage["height"][t]), interpolation=interpolation)


def gaussian_noise(frames: Frames, stage: Stage, seed: Seed) -> Frames:
    """Add Gaussian noise, a fresh field for every frame."""
    for t, frame in enumerate(frames):
        yield noise.gaussian(frame, stage["sigma"][t], grey=stage["grey"], generator=_generator(stage, seed, t))


def poisson_noise(frames: Frames, stage: Stage, seed: Seed) -> Frames:
    """Add Poisson noise, a fresh field for every frame."""
    for t, frame in enumerate(frames):
        generator = _generator(stage, seed, t)
        yield noise.poisson(frame, stage["scale"][t], grey=stage["grey"], domain=stage["domain"], generator=generator)


def jpeg(frames: Frames, stage: Stage, seed: Seed) -> Frames:
    """Compress every frame as a JPEG."""
    for t, frame in enumerate(frames):
        yield codec.jpeg(frame, stage["quality"][t], swapped=stage["swapped"])


def video(frames: Frames, stage: Stage, seed: Seed) -> Frames:
    """Compress the clip with a video codec."""
    return codec.video(frames, stage["codec"], stage["bitrate"], wrap=stage["wrap"])


def _generator(stage: Stage, seed: Seed, t: int) -> np.random.Generator:
    return np.random.default_rng((*seed, 0 if stage.get("frozen") else t))


STAGES: dict[str, Callable[[Frames, Stage, Seed], Frames]] = {
    "blur": blur,
    "resize": resize,
    "gaussian_noise": gaussian_noise,
    "poisson_noise": poisson_noise,
    "jpeg": jpeg,
    "video": video,
}
