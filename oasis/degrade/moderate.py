"""The moderate degradation of `recipe` over time: the same for all frames, or walking and jumping within the same ranges."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from oasis.degrade import ops, recipe
from oasis.degrade.stages import Watch, unwatched
from oasis.degrade.walk import walk

# What `recipe.draw` draws from; a test holds the two together.
LIMITS = {"blur_sigma": (0.2, 2.0), "noise_sigma": (0.0, 6.0), "jpeg_quality": (60.0, 95.0)}
STEPS = {"blur_sigma": 0.05, "noise_sigma": 0.2, "jpeg_quality": 2.0}  # at most, from one frame to the next
DIGITS = {"blur_sigma": 3, "noise_sigma": 3, "jpeg_quality": 0}
JUMP = 0.05  # probability that a strength is drawn anew, per frame and strength

Moderate = Mapping[str, Any]


def draw(generator: np.random.Generator, frames: int, *, inconsistent: bool) -> dict[str, Any]:
    """Draw the strengths of a clip, what JSON can hold: lists have a value per frame, `resize` and `scale` are the clip's.

    The first frame has what `recipe.draw` draws; the others have it too, unless `inconsistent`: then blur in pixels, noise in
    grey levels and JPEG quality each do a bounded walk with jumps. `jpeg_quality` is null for a clip without JPEG.
    """
    if frames < 1:
        raise ValueError(f"a clip of {frames} frames cannot be degraded; allowed: at least one")
    first = recipe.draw(generator)
    drawn: dict[str, Any] = {"resize": first.resize, "scale": first.scale}
    for name, limits in LIMITS.items():
        value = getattr(first, name)
        if value is None or not inconsistent:
            drawn[name] = None if value is None else [value] * frames
        else:
            values = walk(generator, frames, value, limits, STEPS[name], jump=JUMP, digits=DIGITS[name])
            drawn[name] = [int(value) for value in values] if DIGITS[name] == 0 else values
    return drawn


def apply(drawn: Moderate, clip: UInt8[ndarray, "t h w 3"], seed: int) -> UInt8[ndarray, "t h/scale w/scale 3"]:
    """Degrade a clip; equal arguments give equal bytes, those of `recipe.apply` where all frames are treated alike."""
    return np.stack(list(stream(drawn, clip, seed)))


def stream(
    drawn: Moderate, clip: Iterable[UInt8[ndarray, "h w 3"]], seed: int, watch: Watch = unwatched
) -> Iterator[UInt8[ndarray, "h/scale w/scale 3"]]:
    """Do as `apply` does, frame by frame; `watch` may look at the frames after every step.

    ValueError where the clip has more frames or fewer than values were drawn for.
    """
    generator = np.random.default_rng(seed)  # one for the clip: noise is drawn frame after frame
    blurs, noises, qualities = (drawn[name] for name in LIMITS)
    scale, resize = drawn["scale"], drawn["resize"]
    frames: Iterator = (frame.astype(np.float32) for frame in _counted(clip, len(blurs)))
    # Frames come first in every zip, so that their count is checked at their end.
    blurred = (ops.blur(x[None], sigma)[0] if sigma else x for x, sigma in zip(frames, blurs, strict=False))
    frames = watch({"op": "blur", "sigma": blurs}, blurred)
    frames = watch({"op": "resize", "filter": resize}, (ops.downscale(x[None], scale, resize)[0] for x in frames))
    noisy = (ops.noise(x, sigma, generator) for x, sigma in zip(frames, noises, strict=False))
    frames = map(ops.quantise, watch({"op": "gaussian_noise", "sigma": noises}, noisy))
    if qualities is None:
        return frames
    pressed = (ops.jpeg(x[None], quality)[0] for x, quality in zip(frames, qualities, strict=False))
    return watch({"op": "jpeg", "quality": qualities}, pressed)


def _counted(clip: Iterable[ndarray], wanted: int) -> Iterator[ndarray]:
    count = 0
    for count, frame in enumerate(clip, start=1):
        if count > wanted:
            raise ValueError(f"the recipe is for {wanted} frames, the clip has more")
        yield frame
    if count < wanted:
        raise ValueError(f"the recipe is for {wanted} frames, the clip has {count}")
