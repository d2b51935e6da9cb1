"""How a strength changes from frame to frame."""

import numpy as np


def walk(
    generator: np.random.Generator,
    frames: int,
    first: float,
    limits: tuple[float, float],
    step: float,
    *,
    jump: float = 0.0,
    anew: tuple[float, float] | None = None,
    digits: int | None = None,
) -> list[float]:
    """Return one value per frame: `first`, and then a bounded walk of uniform steps within +-`step`, clipped to `limits`.

    With probability `jump` a frame's value is drawn instead, uniform within `anew`, by default the limits; so 0 is a walk
    and 1 gives frames that know nothing of each other. Values are rounded to `digits` before they walk on.
    """
    value = first
    values: list[float] = []
    for _ in range(frames):
        value = float(np.clip(value, *limits))
        value = value if digits is None else round(value, digits)
        values.append(value)
        value += generator.uniform(-step, step)
        if jump and generator.uniform() < jump:
            value = generator.uniform(*(anew or limits))
    return values
