"""What follows from timings: the growth exponent, the length from which routing pays, Amdahl's ceiling. Numbers only."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Growth:
    """Seconds grow as tokens to the power of `exponent`; `error` is its standard error, None for two points."""

    exponent: float
    error: float | None
    points: int

    def __str__(self) -> str:
        error = "" if self.error is None else f" +- {self.error:.2f}"
        return f"tokens^{self.exponent:.2f}{error} ({self.points} points)"


def growth(tokens: Sequence[int], seconds: Sequence[float]) -> Growth:
    """Fit log seconds = exponent * log tokens + constant by least squares; ValueError below two different lengths."""
    if len(set(tokens)) < 2 or min(*tokens, *seconds) <= 0:
        raise ValueError(f"a growth exponent needs two lengths and positive times, got {list(tokens)} and {list(seconds)}")
    x, y = [math.log(n) for n in tokens], [math.log(s) for s in seconds]
    mean_x, mean_y = math.fsum(x) / len(x), math.fsum(y) / len(y)
    square = math.fsum((a - mean_x) ** 2 for a in x)
    slope = math.fsum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / square
    if len(x) == 2:
        return Growth(exponent=slope, error=None, points=2)
    residual = math.fsum((b - mean_y - slope * (a - mean_x)) ** 2 for a, b in zip(x, y, strict=True))
    return Growth(exponent=slope, error=math.sqrt(residual / (len(x) - 2) / square), points=len(x))


@dataclass(frozen=True, kw_only=True)
class Crossover:
    """From how many tokens on routed is faster than dense, up to the `longest` that was measured.

    `tokens` is None where routed is slower at the longest, and the shortest length measured where it is faster at all;
    `between` is then False, because the true crossover lies below it.
    """

    tokens: float | None
    between: bool
    longest: int

    def __str__(self) -> str:
        if self.tokens is None:
            return f"none up to {self.longest} tokens"
        return f"{'at about' if self.between else 'below'} {self.tokens:.0f} tokens (measured up to {self.longest})"


def crossover(tokens: Sequence[int], ratios: Sequence[float]) -> Crossover:
    """Return where `ratios` (routed to dense) fall below 1 for good; log-log linear between the two lengths around it."""
    points = sorted(zip(tokens, ratios, strict=True))
    if len(points) < 2:
        raise ValueError(f"a crossover needs at least two lengths, got {len(points)}")
    longest = points[-1][0]
    slower = [index for index, (_, ratio) in enumerate(points) if ratio >= 1]
    if not slower:
        return Crossover(tokens=points[0][0], between=False, longest=longest)
    if slower[-1] == len(points) - 1:
        return Crossover(tokens=None, between=False, longest=longest)
    (n0, r0), (n1, r1) = points[slower[-1]], points[slower[-1] + 1]
    share = math.log(r0) / (math.log(r0) - math.log(r1))
    return Crossover(tokens=n0 * (n1 / n0) ** share, between=True, longest=longest)


def amdahl(total: float, part: float) -> float:
    """Return how many times faster the whole would be if `part` of its `total` seconds took none (Amdahl 1967)."""
    if not 0 <= part < total:
        raise ValueError(f"a part of {part} s does not lie within a whole of {total} s")
    return total / (total - part)
