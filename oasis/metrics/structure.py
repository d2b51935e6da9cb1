"""Full-reference measures of structure that need no weights, through pyiqa (PolyForm-Noncommercial)."""

import functools
from collections.abc import Sequence

from torch import nn

from oasis.metrics.frames import Frame
from oasis.metrics.framewise import Framewise, Score, check_size, paired
from oasis.metrics.meter import Meter, Setting

# Two pooled pixels to differ; a coarsest subband that is not empty.
SMALLEST = {"gmsd": 4, "fsim": 2, "vif": 65, "nlpd": 2}
"""The shortest side, in pixels, that each family can be taken of."""


def make(names: Sequence[str], setting: Setting) -> Meter:
    """Return a meter of `names`, each `family@pyiqa`; ValueError if the frames are too small for one."""
    scores = {}
    for name in names:
        family = name.removesuffix("@pyiqa")
        check_size(name, SMALLEST[family], setting)
        scores[name] = _score(_network(family, setting.device), setting.device)
    return Framewise(scores, setting)


def _score(network: nn.Module, device: str) -> Score:
    def score(output: Frame, reference: Frame) -> float:
        return float(network(output.tensor.to(device), reference.tensor.to(device)))

    return paired(score)


@functools.cache
def _network(family: str, device: str) -> nn.Module:
    """Return pyiqa's module with pyiqa's default options, which is what papers call."""
    import pyiqa  # slow to import, and under a licence of its own

    return pyiqa.create_metric(family, device=device).net
