"""What the harness itself adds to a time: measured on a function that does nothing but pass through the same sections."""

import statistics
from collections.abc import Callable
from typing import Any

from oasis.sections import listening, section
from oasis.timing.phases import TOTAL, Clock, Recorder

CALLS = 200


def overhead(clock: Clock, sections: int = 0) -> float:
    """Return the median seconds that `clock` shows for a function of that many empty sections and nothing else."""

    def nothing() -> None:
        for _ in range(sections):
            with section("empty"):
                pass

    return statistics.median(clock(nothing)[TOTAL] for _ in range(CALLS))


def count_sections(function: Callable[[], Any]) -> int:
    """Call a function and return how many sections it passes through."""
    recorder = Recorder(lambda: 0.0, lambda start, stop: 0.0)
    with listening(recorder):
        function()
    return len(recorder.spans)
