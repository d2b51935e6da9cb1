"""The second-order degradation of RealBasicVSR, which degrades a clip twice, each time with blur, resize, noise and codecs.

`draw` gives a recipe, plain data that holds every drawn value of every frame; `apply` carries it out. Ranges and probabilities
are those of RealBasicVSR (see `variants`). The clean clip is never sharpened, as it is there for training.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from oasis.degrade import ops, variants
from oasis.degrade.stages import INTERPOLATIONS, STAGES, Frames, Watch, unwatched
from oasis.degrade.variants import ROUNDS, Round, Variant
from oasis.degrade.walk import walk

FORMAT = 1
SCALE = 4


def draw(generator: np.random.Generator, frames: int, height: int, width: int, variant: Variant) -> dict[str, Any]:
    """Draw the recipe of a clip of `frames` frames of `height` x `width` pixels; equal generators give equal recipes.

    It is what JSON can hold: `format`, the variant, sizes in and out, and `stages` in their order (see `stages`), of which
    those that drew "off" are left out. ValueError if a side is no multiple of 4.
    """
    if frames < 1 or min(height, width) < SCALE or height % SCALE or width % SCALE:
        raise ValueError(
            f"a clip of {frames} frames of {width}x{height} pixels cannot be degraded: at least one frame and sides that are "
            f"multiples of {SCALE} are needed; crop their right and bottom first"
        )
    clip = _Clip(generator, frames, variant)
    steps: list[dict[str, Any]] = []
    size = (height, width)
    resize_steps = (variant.walk.first_resize, variant.walk.second_resize)
    for number, ranges in enumerate(ROUNDS):
        if generator.uniform() < ranges.blur:
            steps.append(clip.blur(ranges.sigma))
        steps.append(clip.resize(size, ranges, resize_steps[number]))
        size = steps[-1]["height"][0], steps[-1]["width"][0]  # a codec brings all frames to the size of the first
        steps += [clip.noise(ranges), clip.jpeg()]
        if number == 0:
            steps.append(clip.video(size))
    target = (height // SCALE, width // SCALE)
    shrink = [clip.resize_to(target)]
    if generator.uniform() < variants.LAST_SINC:
        shrink.append(clip.last_sinc())
    if generator.uniform() < 0.5:
        steps += [clip.video(size), *shrink]
    else:
        steps += [*shrink, clip.video(target)]
    about = {"format": FORMAT, "variant": asdict(variant), "frames": frames}
    return about | {"height": height, "width": width, "target_height": target[0], "target_width": target[1], "stages": steps}


def apply(
    recipe: Mapping[str, Any], clip: Iterable[UInt8[ndarray, "h w 3"]], seed: int, watch: Watch = unwatched
) -> Iterator[UInt8[ndarray, "h/4 w/4 3"]]:
    """Yield the degraded frames of a clip that a recipe was drawn for; equal arguments give equal bytes.

    Frames pass through all steps one by one and a codec holds them compressed, so a longer clip needs more memory only by some
    25 kB per frame. `seed` is that of the noise; `watch` may look at the frames after every step. ValueError if
    frames are not as many or not as large as the recipe says.
    """
    if recipe.get("format") != FORMAT:
        raise ValueError(f"a second-order recipe has the format {FORMAT}, got {recipe.get('format')!r}")
    frames = _checked(recipe, clip)
    for number, stage in enumerate(recipe["stages"]):
        frames = watch(stage, STAGES[stage["op"]](frames, stage, (seed, number)))
    return map(ops.quantise, frames)


def _checked(recipe: Mapping[str, Any], clip: Iterable[UInt8[ndarray, "h w 3"]]) -> Frames:
    wanted, shape = recipe["frames"], (recipe["height"], recipe["width"], 3)
    number = 0
    for number, frame in enumerate(clip, start=1):
        if number > wanted or frame.shape != shape:
            raise ValueError(f"the recipe is for {wanted} frames {shape}, but frame {number} of the clip is {frame.shape}")
        yield frame.astype(np.float32)
    if number < wanted:
        raise ValueError(f"the recipe is for {wanted} frames, the clip has {number}")


@dataclass(frozen=True)
class _Clip:
    """Draws steps for one clip."""

    generator: np.random.Generator
    frames: int
    variant: Variant

    def blur(self, sigma: tuple[float, float]) -> dict[str, Any]:
        steps, family, size = self.variant.walk, self.choice(variants.FAMILIES), int(self.generator.choice(variants.SIZES))
        if family == "sinc":
            return self.sinc(size, lowest=math.pi / (3 if size < 13 else 5))
        parameters = {"sigma_x": self.walk(sigma, steps.sigma)}
        if family.endswith("aniso"):
            parameters["sigma_y"] = self.walk(sigma, steps.sigma)
            parameters["angle"] = self.walk((-math.pi, math.pi), steps.angle)
        if family.startswith("generalised"):
            parameters["beta"] = self.beta((0.5, 4.0), steps.generalised_beta)
        if family.startswith("plateau"):
            parameters["beta"] = self.beta((1.0, 2.0), steps.plateau_beta)
        return {"op": "blur", "family": family, "size": size, "parameters": parameters}

    def last_sinc(self) -> dict[str, Any]:
        return self.sinc(int(self.generator.choice(variants.SIZES)), lowest=math.pi / 3)

    def sinc(self, size: int, lowest: float) -> dict[str, Any]:
        omega = self.walk((lowest, math.pi), self.variant.walk.omega)
        return {"op": "blur", "family": "sinc", "size": size, "parameters": {"omega": omega}}

    def resize(self, size: tuple[int, int], ranges: Round, step: float) -> dict[str, Any]:
        """Sides become even, and at least 2."""
        low, high = ranges.factor
        mode = self.choice(dict(zip(("up", "down", "keep"), ranges.modes, strict=True)))
        start = {"up": (1.0, high), "down": (low, 1.0), "keep": (1.0, 1.0)}[mode]
        factors = self.walk(ranges.factor, step, start=start)
        height, width = ([2 * max(1, int(side * factor) // 2) for factor in factors] for side in size)
        interpolation = self.choice(dict.fromkeys(INTERPOLATIONS, 1 / 3))
        about = {"op": "resize", "mode": mode, "factor": factors, "interpolation": interpolation}
        return about | {"height": height, "width": width}

    def resize_to(self, target: tuple[int, int]) -> dict[str, Any]:
        interpolation = self.choice(dict.fromkeys(INTERPOLATIONS, 1 / 3))
        height, width = ([side] * self.frames for side in target)
        return {"op": "resize", "interpolation": interpolation, "height": height, "width": width}

    def noise(self, ranges: Round) -> dict[str, Any]:
        steps, grey = self.variant.walk, bool(self.generator.uniform() < variants.GREY)
        if self.generator.uniform() < 0.5:
            step = {"op": "gaussian_noise", "grey": grey, "sigma": self.walk(ranges.gaussian, steps.gaussian)}
        else:
            scale = self.walk(ranges.poisson, steps.poisson)
            step = {"op": "poisson_noise", "grey": grey, "domain": self.variant.poisson, "scale": scale}
        return step | ({"frozen": True} if self.variant.frozen_noise else {})

    def jpeg(self) -> dict[str, Any]:
        """Quality is rounded in every frame before it walks on."""
        quality = self.walk(variants.QUALITIES, self.variant.walk.quality, digits=0)
        return {"op": "jpeg", "quality": [int(value) for value in quality], "swapped": self.variant.swapped}

    def video(self, size: tuple[int, int]) -> dict[str, Any]:
        """Bits do not follow from the size, so it is recorded where they are spent."""
        codec, bitrate = self.choice(variants.CODECS), int(self.generator.integers(*variants.BITRATES, endpoint=True))
        about = {"op": "video", "codec": codec, "bitrate": bitrate, "wrap": self.variant.wrap}
        return about | {"height": size[0], "width": size[1]}

    def choice(self, probabilities: Mapping[str, float]) -> str:
        return str(self.generator.choice(list(probabilities), p=list(probabilities.values())))

    def walk(
        self,
        limits: tuple[float, float],
        step: float,
        *,
        start: tuple[float, float] | None = None,
        digits: int | None = None,
    ) -> list[float]:
        """Return one value per frame: the first, and those after a jump, uniform within `start`, by default the limits."""
        first = self.generator.uniform(*(start or limits))
        jump = self.variant.jump
        return walk(self.generator, self.frames, first, limits, step, jump=jump, anew=start, digits=digits)

    def beta(self, limits: tuple[float, float], step: float) -> list[float]:
        """Return betas uniform between 1 and a walking bound: so the published code, which draws anew for every frame."""
        bounds = np.array(self.walk(limits, step))
        shares = self.generator.uniform(size=1 if self.variant.pin_beta else self.frames)
        return [float(beta) for beta in 1 + shares * (bounds - 1)]
