"""How the colours of two registered clips differ, and whether a known mistake explains it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

SWAPPED = "red and blue swapped"
_CLEAR = 0.5  # mean square, in grey levels, that a mistake must change for its presence to be told
_SHARE = (0.6, 1.4)  # how much of a mistake must be there, as a regression coefficient; 1 is all of it
_EXPLAINED = 3.0  # how many times smaller a mistake of range must make the mean squared difference


@dataclass(frozen=True, kw_only=True)
class Colour:
    """Per channel, output = gain * (reference - 128) + 128 + offset, by least squares on means over cells, 0..255.

    `mistake` is the known mistake that explains the difference, None if none does.
    """

    gain: tuple[float, ...]
    offset: tuple[float, ...]
    mistake: str | None

    def __str__(self) -> str:
        """Return the numbers in words."""
        gains = " ".join(f"{gain:.2f}" for gain in self.gain)
        offsets = " ".join(f"{offset:+z.1f}" for offset in self.offset)
        mistake = f", as if {self.mistake}" if self.mistake else ""
        return f"colours have gain {gains} and offset {offsets}{mistake}"


def _matrix(red: float, blue: float) -> Float[ndarray, "3 3"]:
    """Return RGB to Y'CbCr by the luma weights of a standard (ITU-R BT.601-7, BT.709-6)."""
    luma = np.array([red, 1 - red - blue, blue])
    chroma_blue = (np.array([0, 0, 1]) - luma) / (2 * (1 - blue))
    chroma_red = (np.array([1, 0, 0]) - luma) / (2 * (1 - red))
    return np.stack([luma, chroma_blue, chroma_red])


_BT601, _BT709 = _matrix(0.299, 0.114), _matrix(0.2126, 0.0722)
_MIXED = {
    SWAPPED: np.eye(3)[::-1],
    "BT.601 decoded as BT.709": np.linalg.inv(_BT709) @ _BT601,
    "BT.709 decoded as BT.601": np.linalg.inv(_BT601) @ _BT709,
}
_STRETCHED = {
    "full range decoded as limited": (255 / 219, -16 * 255 / 219),
    "limited range decoded as full": (219 / 255, 16.0),
}


def compare(output: Float[ndarray, "n 3"], reference: Float[ndarray, "n 3"]) -> Colour:
    """Compare colours of the same places, 0..255.

    A channel or matrix mistake is found by regressing the difference on what the mistake would change, beside a free gain
    and offset per channel, so that honest colour drift does not count; a range mistake by the mean squared difference.
    """
    fits = [_gain(output[:, channel], reference[:, channel]) for channel in range(3)]
    gain, offset = (tuple(float(fit[k]) for fit in fits) for k in range(2))
    return Colour(gain=gain, offset=offset, mistake=_mixed(output, reference) or _stretched(output, reference))


def _gain(output: Float[ndarray, "n"], reference: Float[ndarray, "n"]) -> tuple[float, float]:
    spread = reference - reference.mean()
    variance = spread @ spread
    gain = float(spread @ output / variance) if variance > len(reference) else 1.0
    return gain, float(output.mean() - 128 - gain * (reference.mean() - 128))


def _mixed(output: Float[ndarray, "n 3"], reference: Float[ndarray, "n 3"]) -> str | None:
    found: dict[str, float] = {}
    for name, matrix in _MIXED.items():
        change = np.clip(reference @ matrix.T, 0, 255) - reference
        wanted, seen = (_without_gain(values, reference) for values in (change, output - reference))
        power = float(np.mean(wanted**2))
        share = float(np.mean(wanted * seen)) / power if power else 0.0
        if power >= _CLEAR and _SHARE[0] <= share <= _SHARE[1]:
            found[name] = float(np.mean((seen - wanted) ** 2))
    return min(found, key=lambda name: found[name]) if found else None


def _without_gain(values: Float[ndarray, "n 3"], reference: Float[ndarray, "n 3"]) -> Float[ndarray, "n 3"]:
    """Return what a gain and an offset per channel leave of `values`."""
    spread = reference - reference.mean(axis=0)
    values = values - values.mean(axis=0)
    variance = (spread**2).sum(axis=0)
    return values - spread * (values * spread).sum(axis=0) / np.where(variance > 0, variance, 1)


def _stretched(output: Float[ndarray, "n 3"], reference: Float[ndarray, "n 3"]) -> str | None:
    before = float(np.mean((output - reference) ** 2))
    for name, (gain, offset) in _STRETCHED.items():
        after = float(np.mean((output - np.clip(gain * reference + offset, 0, 255)) ** 2))
        if before >= _CLEAR and before >= _EXPLAINED * after:
            return name
    return None
