"""What is measured of two clips before they are compared."""

from dataclasses import dataclass

from oasis.align.colour import Colour
from oasis.align.fit import Size
from oasis.align.registration import Place

SCATTER = 0.5
"""Pixels of scatter from which a picture has moved in itself and cannot be registered."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What was measured of two clips.

    `reference` is the size of the grid of comparison, `degraded` says that it is a low-quality input. `place` is where the
    output, resized as a whole to that grid if `resized`, lies in the reference; None where the picture is too flat to tell.
    `lag` says that output frame i shows reference frame i + lag, None where motion is too little to tell; `colour` is None
    where nothing is registered or the frames are too small.
    """

    output: Size
    reference: Size
    degraded: bool
    place: Place | None
    resized: bool
    lag: int | None
    colour: Colour | None

    @property
    def registered(self) -> bool:
        """Whether it is known where the output lies."""
        return self.place is not None and registered(self.place)

    def __str__(self) -> str:
        """Return one line for a log or a row."""
        where = self.where or "the pictures are too flat to register"
        when = "temporal offset " + ("cannot be told" if self.lag is None else f"{self.lag} frames")
        return "; ".join([where, when, *([str(self.colour)] if self.colour else [])])

    @property
    def where(self) -> str | None:
        """Where the output lies, in words; None where that is not known."""
        if self.place is None:
            return None
        place = self.place
        support = f"{place.matched} of {place.regions} regions, scatter {place.scatter:.2f} px"
        if not self.registered:
            return f"the content cannot be registered ({support})"
        whole = ", resized as a whole," if self.resized else ""
        drift = f"drift to the borders {place.drift_x:+z.2f}, {place.drift_y:+z.2f} px"
        return f"registration places the output{whole} at left {place.x:z.2f}, top {place.y:z.2f} ({drift}; {support})"


def agreed(place: Place) -> bool:
    """Say whether at least half of the textured regions were found again."""
    return 2 * place.matched >= place.regions


def registered(place: Place) -> bool:
    """Say whether regions were found again, and agree on where."""
    return agreed(place) and place.scatter < SCATTER
