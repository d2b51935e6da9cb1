"""Shots: one or two photographs moved along camera paths, with the exact flow from each frame to the next."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from oasis.data import camera, parallax, photos

Array = NDArray[np.float64]
# What is cut out of a photograph as a moving object.
SUBJECTS = {
    "astronaut": camera.Subject(224.0, 128.0, 96.0, 118.0),
    "chelsea": camera.Subject(226.0, 142.0, 118.0, 118.0),
    "page": camera.Subject(191.5, 95.0, 188.0, 92.0, power=12),
}
SWAY = 0.4  # how far the viewpoint of a stereo photograph moves, in distances between its two cameras


class Scene(NamedTuple):
    """One shot: `hr`, `flow` and `occluded` as in `builtin.BuiltinClip`."""

    hr: NDArray[np.uint8]
    flow: NDArray[np.float32]
    occluded: NDArray[np.bool_]


class Shape(NamedTuple):
    """What a shot has to be: frames, rows, columns."""

    frames: int
    height: int
    width: int

    @property
    def offsets(self) -> tuple[Array, Array]:
        """Offsets (x, y) of all pixels from the middle of the frame, each "h w"."""
        y, x = np.mgrid[: self.height, : self.width].astype(np.float64)
        return x - (self.width - 1) / 2, y - (self.height - 1) / 2

    def inside(self, px: Array, py: Array) -> NDArray[np.bool_]:
        """Tell which offsets from the middle lie between the frame's outermost pixel centres."""
        return (np.abs(px) <= (self.width - 1) / 2) & (np.abs(py) <= (self.height - 1) / 2)


def planar(generator: np.random.Generator, photo: str, motion: str, shape: Shape) -> Scene:
    """Move the camera over one photograph; `motion` as in `camera.draw`."""
    path = camera.draw(generator, motion, photos.size(photo), shape[1:], shape.frames)
    scene = _empty(shape)
    for t in range(shape.frames):
        scene.hr[t] = _bytes(_view(photo, path, t, *shape.offsets))
    for t in range(shape.frames - 1):
        target = _move(path, t, shape)
        scene.flow[t] = np.stack(target, axis=-1) - np.stack(shape.offsets, axis=-1)
        scene.occluded[t] = ~shape.inside(*target)
    return scene


def over(generator: np.random.Generator, photo: str, background: str, shape: Shape) -> Scene:
    """Move what SUBJECTS cuts out of `photo` in front of a moving background."""
    motion = ("pan", "zoom")[generator.integers(2)]
    behind = camera.draw(generator, motion, photos.size(background), shape[1:], shape.frames)
    thing = camera.draw_object(generator, SUBJECTS[photo], shape[1:], shape.frames)
    scene = _empty(shape)
    for t in range(shape.frames):
        cover = _cover(SUBJECTS[photo], thing, t, *shape.offsets)
        front, back = (_view(name, path, t, *shape.offsets) for name, path in ((photo, thing), (background, behind)))
        scene.hr[t] = _bytes(back + cover * (front - back))
    for t in range(shape.frames - 1):
        moved, left_behind = _move(thing, t, shape), _move(behind, t, shape)
        # A pixel of the soft edge belongs to whichever of the two shows more.
        is_front = _cover(SUBJECTS[photo], thing, t, *shape.offsets) >= 0.5
        px, py = (np.where(is_front, *pair) for pair in zip(moved, left_behind, strict=True))
        scene.flow[t] = np.stack([px, py], axis=-1) - np.stack(shape.offsets, axis=-1)
        covered = ~is_front & (_cover(SUBJECTS[photo], thing, t + 1, px, py) >= 0.5)
        scene.occluded[t] = covered | ~shape.inside(px, py)
    return scene


def stereo(generator: np.random.Generator, shape: Shape) -> Scene:
    """Move the viewpoint in front of `motorcycle`, the photograph whose disparity is known."""
    height, width = photos.size("motorcycle")
    side = SWAY * float(np.abs(parallax.depth(1.0, (height, width))).max())  # what the viewpoint can show beyond the path
    path = camera.draw(generator, "slide", (height, round(width - 2 * side)), shape[1:], shape.frames)
    shrink = float(path.scale[0])
    image = photos.planes("motorcycle", shrink)
    field = parallax.depth(shrink, image.shape[1:])
    middle_x, middle_y = (path.x + side + 0.5) / shrink - 0.5, (path.y + 0.5) / shrink - 0.5
    viewpoint = camera.swing(generator, camera.time(shape.frames), SWAY, generator.uniform(0.05, 0.075))
    scene = _empty(shape)
    px, py = shape.offsets
    for t in range(shape.frames):
        x, y = px + middle_x[t], py + middle_y[t]
        rows = parallax.rows_at(field, y[:, 0])
        u = parallax.front(rows, viewpoint[t], x)
        scene.hr[t] = _bytes(photos.sample(image, u, y))
        if t + 1 < shape.frames:
            there = u - viewpoint[t + 1] * parallax.value_at(rows, u)
            seen = parallax.front(rows, viewpoint[t + 1], there)
            to_x, to_y = there - middle_x[t + 1], y - middle_y[t + 1]
            scene.flow[t] = np.stack([to_x - px, to_y - py], axis=-1)
            scene.occluded[t] = ~shape.inside(to_x, to_y) | (np.abs(seen - u) > 0.5)
    return scene


def join(shots: list[Scene]) -> Scene:
    """Put shots one after the other; at a cut the flow is 0 and everything is occluded."""
    joined = shots[0]
    for shot in shots[1:]:
        step = (1, *shot.hr.shape[1:3])
        joined = Scene(
            np.concatenate([joined.hr, shot.hr]),
            np.concatenate([joined.flow, np.zeros((*step, 2), np.float32), shot.flow]),
            np.concatenate([joined.occluded, np.ones(step, np.bool_), shot.occluded]),
        )
    return joined


def _empty(shape: Shape) -> Scene:
    steps = (shape.frames - 1, shape.height, shape.width)
    return Scene(np.empty((*shape, 3), np.uint8), np.empty((*steps, 2), np.float32), np.empty(steps, np.bool_))


def _view(photo: str, path: camera.Path, t: int, px: Array, py: Array) -> Array:
    """Return what offsets (px, py) of frame `t` show, "3 h w"; a photograph seen smaller than it is is shrunk first."""
    shrink = max(1.0, float(path.scale[t]))
    image = photos.planes(photo, shrink)
    x, y = path.to_photo(t, px, py)
    height, width = photos.size(photo)
    across, down = image.shape[2] / width, image.shape[1] / height
    return photos.sample(image, (x + 0.5) * across - 0.5, (y + 0.5) * down - 0.5)


def _move(path: camera.Path, t: int, shape: Shape) -> tuple[Array, Array]:
    """Return where the points that frame `t` shows are seen in the next one, as offsets from its middle."""
    return path.to_frame(t + 1, *path.to_photo(t, *shape.offsets))


def _cover(subject: camera.Subject, path: camera.Path, t: int, px: Array, py: Array) -> Array:
    """Return the opacity 0..1 of an object at offsets (px, py) of frame `t`; its edge is up to 2 pixels soft."""
    x, y = path.to_photo(t, px, py)
    across, down = np.abs(x - subject.x) / subject.radius_x, np.abs(y - subject.y) / subject.radius_y
    far = (across**subject.power + down**subject.power) ** (1 / subject.power)
    pixels = (1 - far) * min(subject.radius_x, subject.radius_y) / path.scale[t]
    return np.clip(0.5 + pixels / 2, 0, 1)


def _bytes(image: Array) -> NDArray[np.uint8]:
    return np.rint(np.clip(image, 0, 255)).astype(np.uint8).transpose(1, 2, 0)
