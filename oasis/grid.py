"""Token grids and the cells that patterns cut them into; integers only."""

import itertools
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class Grid:
    """Tokens of a latent clip: `t` frames of `h` rows and `w` columns, numbered n = (t*h_total + h)*w_total + w."""

    t: int
    h: int
    w: int

    def __post_init__(self) -> None:
        if min(self.t, self.h, self.w) < 1:
            raise ValueError(f"a grid needs at least one token on each axis, got t={self.t}, h={self.h}, w={self.w}")

    @property
    def frame(self) -> int:
        """Tokens of one frame."""
        return self.h * self.w

    @property
    def tokens(self) -> int:
        """Tokens of the whole clip."""
        return self.t * self.h * self.w

    def __str__(self) -> str:
        return f"{self.t}x{self.h}x{self.w}"


class Band(NamedTuple):
    """A run of neighbouring cells of equal size along one axis: `cells` cells of `size` tokens from `start` on."""

    start: int
    cells: int
    size: int

    @property
    def stop(self) -> int:
        """One past the band's last token."""
        return self.start + self.cells * self.size


def cell_of(position: int, size: int, shift: int) -> int:
    """Return the index of the cell that holds `position`: cell borders lie at multiples of `size`, less `shift`."""
    return (position + shift) // size


def bands(length: int, size: int, shift: int = 0) -> list[Band]:
    """Cut an axis of `length` tokens into cells of `size`, with smaller cells at the borders, never padded.

    With `shift`, cell borders move towards zero by that many tokens (0 <= shift < size). Neighbouring cells of equal
    size form one band, so that there are at most three bands whatever the length.
    """
    if not 0 <= shift < size:
        raise ValueError(f"shift must lie in [0, size), got shift={shift}, size={size}")
    borders = [0, *range(size - shift, length, size), length]
    found: list[Band] = []
    for start, stop in itertools.pairwise(borders):
        if found and found[-1].size == stop - start:
            found[-1] = found[-1]._replace(cells=found[-1].cells + 1)
        else:
            found.append(Band(start, 1, stop - start))
    return found
