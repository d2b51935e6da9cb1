"""Built-in clips: photographs set in motion by seeded camera paths, with exact optical flow and degraded copies."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from oasis import degrade
from oasis.data import scenes

FPS = Fraction(25)
Motion = Literal["pan", "zoom", "turn", "parallax", "over", "cut"]
Split = Literal["train", "test"]


@dataclass(frozen=True, kw_only=True)
class ClipSpec:
    """One built-in clip: which photographs move how; "over" moves the first in front of the second."""

    name: str
    split: Split
    photos: tuple[str, ...]
    motion: Motion
    seed: int


class BuiltinClip(NamedTuple):
    """A rendered clip.

    `hr` uint8 "t h w 3"; `lq` uint8 "t h/4 w/4 3", made by `recipe`; `flow` float32 "t-1 h w 2", the way (dx, dy) in
    pixels of each point of frame t to frame t+1; `occluded` bool "t-1 h w", True where that point is not seen in t+1: it
    left the frame (beyond the outermost pixel centres), is covered, or the scene changed; `cut` lists the frames that start
    a new scene.
    """

    name: str
    split: Split
    hr: NDArray[np.uint8]
    lq: NDArray[np.uint8]
    flow: NDArray[np.float32]
    occluded: NDArray[np.bool_]
    fps: Fraction
    cut: list[int]
    recipe: degrade.Recipe


def _clips(*specs: tuple[str, Split, tuple[str, ...], Motion]) -> dict[str, ClipSpec]:
    return {
        name: ClipSpec(name=name, split=split, photos=used, motion=motion, seed=seed)
        for seed, (name, split, used, motion) in enumerate(specs)
    }


# The split is by photograph: none of a test clip appears in a training clip.
CLIPS = _clips(
    ("astronaut-zoom", "train", ("astronaut",), "zoom"),
    ("china-pan", "train", ("china",), "pan"),
    ("coffee-turn", "train", ("coffee",), "turn"),
    ("ihc-pan", "train", ("ihc",), "pan"),
    ("motorcycle-parallax", "train", ("motorcycle",), "parallax"),
    ("astronaut-over-china", "train", ("astronaut", "china"), "over"),
    ("page-over-brick", "train", ("page", "brick"), "over"),
    ("rocket-hubble-cut", "train", ("rocket", "hubble"), "cut"),
    ("chelsea-zoom", "test", ("chelsea",), "zoom"),
    ("flower-turn", "test", ("flower",), "turn"),
    ("chelsea-over-flower", "test", ("chelsea", "flower"), "over"),
    ("camera-flower-cut", "test", ("camera", "flower"), "cut"),
)


def names(split: Split | None = None) -> list[str]:
    """Return the names of all clips, or of those of `split` "train" or "test", in the order of CLIPS."""
    return [name for name, spec in CLIPS.items() if split in (None, spec.split)]


def make(name: str, *, frames: int = 17, height: int = 192, width: int = 320, seed: int | None = None) -> BuiltinClip:
    """Render a clip; equal arguments give equal bytes.

    Another `seed` gives another camera path and degradation over the same photographs. ValueError for an unknown name or
    a size that is no multiple of 4.
    """
    if name not in CLIPS:
        raise ValueError(f"there is no built-in clip {name!r}; allowed: {', '.join(CLIPS)}")
    if frames < 1 or min(height, width) < 16 or height % 4 or width % 4:
        raise ValueError(
            f"a built-in clip needs frames >= 1 and sides that are multiples of 4 from 16, got {frames}x{height}x{width}"
        )
    spec = CLIPS[name]
    seed = spec.seed if seed is None else seed
    motion, strengths = (np.random.default_rng([seed, stream]) for stream in range(2))
    cut = [frames // 2] if spec.motion == "cut" and frames > 1 else []
    scene = _scene(spec, motion, scenes.Shape(frames, height, width), cut)
    recipe = degrade.draw(strengths)
    return BuiltinClip(name, spec.split, scene.hr, degrade.apply(recipe, scene.hr, seed), *scene[1:], FPS, cut, recipe)


def _scene(spec: ClipSpec, generator: np.random.Generator, shape: scenes.Shape, cut: list[int]) -> scenes.Scene:
    if spec.motion == "parallax":
        return scenes.stereo(generator, shape)
    if spec.motion == "over":
        return scenes.over(generator, spec.photos[0], spec.photos[1], shape)
    if spec.motion != "cut":
        return scenes.planar(generator, spec.photos[0], spec.motion, shape)
    lengths = np.diff([0, *cut, shape.frames])
    shots = []
    for photo, frames in zip(spec.photos, lengths, strict=False):  # a single frame shows the first photograph only
        motion = ("pan", "zoom", "turn")[generator.integers(3)]
        shots.append(scenes.planar(generator, photo, motion, shape._replace(frames=int(frames))))
    return scenes.join(shots)
