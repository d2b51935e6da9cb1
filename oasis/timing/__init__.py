"""Honest times: candidates in turn, warm or cold caches, phases, peak memory, kernels, and the machine behind them.

`attention`, `model`, `decoder` and `pipeline` say what is timed; the other modules how.
"""

from oasis.timing.rounds import Measurement, Until, measure, measure_phases, median_spread, quantile

__all__ = ["Measurement", "Until", "measure", "measure_phases", "median_spread", "quantile"]
