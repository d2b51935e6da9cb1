"""What rows say together: growth with length, the length from which routing pays, Amdahl's ceiling, frames per second."""

from collections.abc import Collection

from oasis.scaling import Crossover, Growth, amdahl, crossover, growth
from oasis.timing.attention import PROBES
from oasis.timing.found import Found
from oasis.timing.phases import TOTAL
from oasis.timings import Timing

ATTENTION = "dit/self-attention"


def growths(found: Found, cases: Collection[str]) -> dict[str, Growth]:
    """Return how times grow with tokens over these cases, for each candidate that has two lengths at least."""
    fits = {}
    for name, rows in _lengths(found, cases).items():
        fits[name] = growth([found.tokens[row.case] for row in rows], [row.p50 for row in rows])
    return fits


def crossovers(found: Found, cases: Collection[str]) -> dict[str, Crossover]:
    """Return from which length on each routing beats its baseline on this machine, where there are two lengths at least."""
    points = {}
    for name, rows in _lengths(found, cases).items():
        if rows[0].subject not in (rows[0].baseline, *PROBES):
            points[name] = crossover([found.tokens[row.case] for row in rows], [row.ratio for row in rows])
    return points


def ceilings(found: Found) -> dict[str, float]:
    """Return for each network and case how many times faster it would be if self-attention took no time."""
    seconds = {(_name(row), row.case, row.phase): row.p50 for row in found.rows}
    return {
        f"{name} on {case}": amdahl(total, seconds[name, case, ATTENTION])
        for (name, case, phase), total in seconds.items()
        if phase == TOTAL and (name, case, ATTENTION) in seconds
    }


def frame_rates(found: Found, *, io: bool) -> dict[str, float]:
    """Return the frames per second that come out, of the whole or (a pipeline without `io`) of the network alone."""
    phase = TOTAL if io or not any(row.phase == "network" for row in found.rows) else "network"
    return {f"{_name(row)} on {row.case}": row.frames / row.p50 for row in found.rows if row.phase == phase}


def _lengths(found: Found, cases: Collection[str]) -> dict[str, list[Timing]]:
    by_name: dict[str, list[Timing]] = {}
    for row in found.rows:
        if row.phase == TOTAL and row.case in cases:
            by_name.setdefault(_name(row), []).append(row)
    return {name: rows for name, rows in by_name.items() if len({found.tokens[row.case] for row in rows}) > 1}


def _name(row: Timing) -> str:
    """Return a name that tells backends apart; the baseline's may change with the case."""
    return row.subject if row.subject == row.baseline else f"{row.subject} ({row.backend})"
