"""Measuring how two clips lie to each other."""

import math
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from einops import rearrange, reduce
from jaxtyping import Float, UInt8
from numpy import ndarray

from oasis import video
from oasis.align import colour, lag
from oasis.align.cells import laid_over
from oasis.align.colour import Colour
from oasis.align.finding import Finding, agreed, registered
from oasis.align.fit import Resize, Size
from oasis.align.lag import Lag
from oasis.align.registration import Place, register
from oasis.align.sketch import Sketch, keep, sketch

Opened = Callable[[], Iterator[UInt8[ndarray, "h w 3"]]]
"""Starts a clip: every call yields its frames from the first on."""
_PAIRS = 5
_BLOCK = 16  # pixels
_BLOCKS = 128  # per frame, below which colours are too few to tell
_CLEARER = 0.6  # how small the cost of another moment must be, against that of the same one, to be believed


def opened(path: Path | str) -> Opened:
    """Return a function that decodes the clip at `path` from its first frame on."""
    return lambda: (rearrange(frame, "c h w -> h w c").numpy() for frame in video.stream(path))


def inspect(
    output: Opened,
    reference: Opened,
    *,
    degraded: bool = False,
    scale: int = 1,
    native: tuple[int, int] | None = None,
) -> Finding:
    """Measure how two clips lie to each other, decoding each once, the reference again where the moments may differ.

    `degraded` is for a low-quality input where there is no ground truth: it is enlarged by `scale`, or to the `native` size
    (columns, rows). Memory: a thumbnail per frame and up to 16 lumas per clip. ValueError if a clip has no frames.
    """
    first, second = sketch(output()), sketch(reference(), scale=scale, native=native)
    best = here = _registered(first, second, 0)
    moments = _moments(here, second)
    if any(moments) and here.place:
        # A moving picture that is registered at the wrong moment lies elsewhere: every moment that may be right is tried.
        numbers = {number + at for at in moments for number in _numbers(first, range(second.size.frames), at)}
        moved = replace(second, kept=keep(reference(), numbers, second.size))
        there = min((_registered(first, moved, at) for at in moments if at), key=lambda each: each.cost)
        if there.cost < _CLEARER * here.cost:
            second, best = moved, there
    places = [best.place] if best.place else _usual(best.output.size, second.size)
    found = _lags(best.output, second, places)
    return Finding(
        output=first.size,
        reference=second.size,
        degraded=degraded,
        place=best.place,
        resized=best.resized,
        lag=found[0].lag if found and found[0].told else None,
        colour=_colours(best, second, degraded),
    )


@dataclass(frozen=True, kw_only=True)
class _Registered:
    """An output, resized if that fits better, at its place in a reference of `size` that is `lag` frames ahead."""

    output: Sketch
    size: Size
    lag: int
    place: Place | None
    resized: bool

    @property
    def cost(self) -> float:
        """How unlikely it is, in pixels: pictures agree, and lie at one of the usual places or anywhere else."""
        if self.place is None or not agreed(self.place):
            return math.inf
        usual = min(math.dist((at.x, at.y), (self.place.x, self.place.y)) for at in _usual(self.output.size, self.size))
        return _disagreement(self.place) + min(0.5, usual) + 0.1


def _registered(output: Sketch, reference: Sketch, at: int) -> _Registered:
    """Return where the output lies; of another size, it may be a part or the whole resized: what agrees better."""
    numbers = _numbers(output, reference.kept, at)
    references = [reference.kept[number + at].luma for number in numbers]

    def placed(shown: Sketch, *, resized: bool) -> _Registered:
        place = register([shown.kept[number].luma for number in numbers], references) if numbers else None
        return _Registered(output=shown, size=reference.size, lag=at, place=place, resized=resized)

    part = placed(output, resized=False)
    if part.place is None or _same(output.size, reference.size):
        return part
    whole = placed(output.resized(Resize(width=reference.size.width, height=reference.size.height)), resized=True)
    if whole.place is None or not agreed(whole.place):
        return part
    return whole if not agreed(part.place) or _disagreement(whole.place) < _disagreement(part.place) else part


def _numbers(output: Sketch, references: Container[int], at: int) -> list[int]:
    """Return a few frames that are there in both clips; not the outermost, which methods pad."""
    numbers = sorted(number for number in output.kept if number + at in references)
    inner = numbers[1:-1] if len(numbers) > _PAIRS else numbers
    chosen = np.linspace(0, len(inner) - 1, min(_PAIRS, len(inner))).round().astype(int)
    return [inner[i] for i in chosen]


def _disagreement(place: Place) -> float:
    return abs(place.drift_x) + abs(place.drift_y) + place.scatter


def _same(output: Size, reference: Size) -> bool:
    return (output.width, output.height) == (reference.width, reference.height)


def _usual(output: Size, reference: Size) -> list[Place]:
    """Return the places of crops at the start, in the middle and at the end."""
    x, y = reference.width - output.width, reference.height - output.height
    return [_at(part * x, part * y) for part in (0.0, 0.5, 1.0)]


def _at(x: float, y: float) -> Place:
    return Place(x=x, y=y, drift_x=0.0, drift_y=0.0, scatter=0.0, regions=0, matched=0, likeness=0.0)


def _moments(here: _Registered, reference: Sketch) -> list[int]:
    """Return the lags that may be right, with the output where it seems to lie or at a usual place."""
    places = [*([here.place] if here.place else []), *_usual(here.output.size, reference.size)]
    found = _lags(here.output, reference, places)
    return sorted({each.lag for each in found if each.error <= 4 * found[0].error + 1})


def _lags(output: Sketch, reference: Sketch, places: list[Place]) -> list[Lag]:
    """Return the lag at each place, the likeliest first."""
    found = [each for place in places if (each := lag.find(output, reference, place))]
    return sorted(found, key=lambda each: each.error)


def _colours(best: _Registered, reference: Sketch, degraded: bool) -> Colour | None:
    output, place, numbers = best.output, best.place, _numbers(best.output, reference.kept, best.lag)
    if place is None and _same(output.size, reference.size):
        place = _at(0.0, 0.0)
    if place is None or not numbers or not registered(place):
        return None
    first = np.stack([output.kept[number].colour for number in numbers]).astype(np.float32)
    second = np.stack([reference.kept[number + best.lag].colour for number in numbers]).astype(np.float32)
    shown, seen = (_blocks(colours, output.pitch) for colours in (first, laid_over(output, reference, place, second)))
    common = np.isfinite(seen[:, 0])
    if np.count_nonzero(common) < _BLOCKS * len(numbers):
        return None
    found = colour.compare(shown[common], seen[common])
    # Restored contrast and the colours of an input's codec look like such mistakes; only a swap is beyond doubt.
    return replace(found, mistake=None) if degraded and found.mistake != colour.SWAPPED else found


def _blocks(colours: Float[ndarray, "t v u 3"], pitch: tuple[float, float]) -> Float[ndarray, "n 3"]:
    """Return means over blocks of cells so large that blur and lost detail do not count as loss of contrast."""
    columns, rows = (max(1, math.ceil(_BLOCK / side)) for side in pitch)
    v, u = colours.shape[1] // rows, colours.shape[2] // columns
    whole = colours[:, : v * rows, : u * columns].astype(np.float64)
    return reduce(whole, "t (v rows) (u columns) c -> (t v u) c", "mean", rows=rows, columns=columns)
