"""Camera paths: where in a photograph each frame looks, smooth in time, with a slightly shaking hand."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
BORDER = 1.0  # pixels of the photograph that no frame shows


class Path(NamedTuple):
    """One similarity transform per frame, each field float64 "t".

    Frame pixel p shows photograph position (x, y) + scale * R(angle) (p - middle of the frame); angles in radians,
    scale in pixels of the photograph per pixel of the frame.
    """

    x: Array
    y: Array
    scale: Array
    angle: Array

    def to_photo(self, t: int, px: Array, py: Array) -> tuple[Array, Array]:
        """Return the positions in the photograph that offsets (px, py) from the middle of frame `t` show."""
        cos, sin = self._rotation(t, self.scale[t])
        return self.x[t] + cos * px - sin * py, self.y[t] + sin * px + cos * py

    def to_frame(self, t: int, x: Array, y: Array) -> tuple[Array, Array]:
        """Return the offsets from the middle of frame `t` at which positions (x, y) of the photograph are seen."""
        cos, sin = self._rotation(t, 1 / self.scale[t])
        dx, dy = x - self.x[t], y - self.y[t]
        return cos * dx + sin * dy, cos * dy - sin * dx

    def _rotation(self, t: int, scale: float) -> tuple[float, float]:
        return scale * math.cos(self.angle[t]), scale * math.sin(self.angle[t])


class Subject(NamedTuple):
    """An object in a photograph: middle, radii, and the power of its outline (2: ellipse, large: rounded rectangle)."""

    x: float
    y: float
    radius_x: float
    radius_y: float
    power: int = 2


def draw(generator: np.random.Generator, motion: str, photo: tuple[int, int], frame: tuple[int, int], frames: int) -> Path:
    """Draw a path that stays inside a photograph; sizes are (rows, columns).

    `motion`: "slide" moves by 0.3 to 1 pixels per frame and "pan" by 1.5 to 3.5; "zoom" changes the scale by 0.6 to 1.2 %
    per frame and "turn" the angle by 0.3 to 0.8 degrees, while they slide.
    """
    t = time(frames)
    angle = generator.uniform(-0.03, 0.03) + _shake(generator, t, 0.0008)
    share = np.full(frames, generator.uniform(0.6, 0.8))
    speed = generator.uniform(0.3, 1.0)
    if motion == "pan":
        speed = generator.uniform(1.5, 3.5)
    elif motion == "zoom":
        share = 0.72 * np.exp(swing(generator, t, 0.2, generator.uniform(0.006, 0.012)))
    elif motion == "turn":
        angle = angle + swing(generator, t, math.radians(14), math.radians(generator.uniform(0.3, 0.8)))
        share = np.full(frames, generator.uniform(0.75, 0.9))

    # The bounding box of the turned frame, in frame pixels: the scale at which its largest just fits is share = 1.
    half_h, half_w = (frame[0] - 1) / 2, (frame[1] - 1) / 2
    cos, sin = np.cos(angle), np.abs(np.sin(angle))
    half_x, half_y = half_w * cos + half_h * sin, half_h * cos + half_w * sin
    room_x, room_y = (photo[1] - 1) / 2 - BORDER, (photo[0] - 1) / 2 - BORDER
    scale = share * min(room_x / half_x.max(), room_y / half_y.max())

    heading = generator.uniform(-0.6, 0.6)
    tremble = generator.uniform(0.2, 0.5)
    middle = []
    for room, half, rate in ((room_x, half_x, speed * math.cos(heading)), (room_y, half_y, speed * math.sin(heading))):
        free = room - scale * (half + tremble)
        way = swing(generator, t, 0.9, rate * scale.mean() / free.mean())
        middle.append(room + BORDER + free * way + scale * _shake(generator, t, tremble))
    return Path(middle[0], middle[1], scale, angle)


def draw_object(generator: np.random.Generator, subject: Subject, frame: tuple[int, int], frames: int) -> Path:
    """Draw the path of an object that crosses a frame of (rows, columns) by 1.5 to 4 pixels per frame."""
    t = time(frames)
    share = generator.uniform(0.55, 0.75)
    scale = np.full(frames, 2 * max(subject.radius_y / frame[0], subject.radius_x / frame[1]) / share)
    angle = swing(generator, t, 0.15, generator.uniform(0.002, 0.01))
    right = swing(generator, t, 0.3 * frame[1], generator.uniform(1.5, 4.0))
    down = swing(generator, t, 0.12 * frame[0], generator.uniform(0.1, 0.8))
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    return Path(subject.x - cos * right + sin * down, subject.y - sin * right - cos * down, scale, angle)


def swing(generator: np.random.Generator, t: Array, amplitude: float, rate: float) -> Array:
    """Return a slow sine through time that starts at about `rate` per frame, up or down, and stays in +-amplitude."""
    phase = generator.uniform(-0.5, 0.5)
    sign = 1 if generator.uniform() < 0.5 else -1
    return sign * amplitude * np.sin(phase + t * rate / amplitude)


def _shake(generator: np.random.Generator, t: Array, amplitude: float) -> Array:
    waves = [
        np.sin(2 * math.pi * (generator.uniform(low, high) * t + generator.uniform()))
        for low, high in ((0.02, 0.05), (0.05, 0.12), (0.12, 0.25))
    ]
    return amplitude * (0.5 * waves[0] + 0.3 * waves[1] + 0.2 * waves[2])


def time(frames: int) -> Array:
    """Return frame numbers less 8, so that the middle of a swing falls into a clip of 17 frames."""
    return np.arange(frames, dtype=np.float64) - 8
