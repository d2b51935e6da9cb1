"""DOVER of a clip: fragments and whole frames, drawn several times, through two networks, fused into scores in 0..1."""

import itertools
import math
import statistics
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from einops import rearrange

from oasis import weights
from oasis.metrics.dover.network import Dover, load
from oasis.metrics.dover.views import FRAMES, SIDE, View, draw
from oasis.metrics.frames import Frame
from oasis.metrics.framewise import exact
from oasis.metrics.meter import Result, Setting, Unavailable

DRAWS = 5
CENTRE = {"technical": 0.1107, "aesthetic": -0.08285}
SPREAD = {"technical": 0.07355, "aesthetic": 0.03774}
SHARE = {
    "dover@fused": {"technical": 0.6104, "aesthetic": 0.3896},
    "dover@technical": {"technical": 1.0},
    "dover@aesthetic": {"aesthetic": 1.0},
}
"""How much each branch counts in a measure, after its raw score was centred and divided by its spread."""


def make(names: Sequence[str], setting: Setting) -> "Views":
    """Return DOVER of one clip; `Unavailable` without the authors' weights, ValueError for frames below 32 x 32 pixels."""
    draws = [draw(setting.frames, setting.height, setting.width, seed) for seed in seeds(setting.clip)]
    try:
        path = weights.find("dover")
    except weights.Missing as missing:
        raise Unavailable(str(missing)) from missing
    return Views(names, setting, draws, load(path).to(setting.device))


def seeds(clip: str) -> tuple[int, ...]:
    """Return the seeds of a clip's draws: by its name, so that every method's output of it is seen at the same places."""
    return tuple(zlib.crc32(f"{clip} {number}".encode()) for number in range(DRAWS))


def score(name: str, raw: Mapping[str, float]) -> float:
    """Return a measure in 0..1 of raw scores by branch (VQAssessment/DOVER@f1ddc96, evaluate_a_set_of_videos.py)."""
    total = sum(share * (raw[branch] - CENTRE[branch]) / SPREAD[branch] for branch, share in SHARE[name].items())
    return (1 + math.tanh(total / 2)) / 2  # the logistic function, without its overflow


class Views:
    """The pictures that the draws need, picked as the frames come, and at the end their scores.

    Five draws are at most 20 views of 5 MB, whatever the clip's length and size.
    """

    def __init__(self, names: Sequence[str], setting: Setting, draws: Sequence[tuple[View, ...]], network: Dover) -> None:
        self._names, self._setting, self._draws, self._network = names, setting, draws, network
        self._branches = {branch for name in names for branch in SHARE[name]}
        self._pictures = {
            view: np.empty((FRAMES, SIDE, SIDE, 3), dtype=np.uint8)
            for view in itertools.chain(*draws)
            if view.branch in self._branches
        }
        self._seen = 0

    def add(self, output: Frame, reference: Frame | None) -> None:
        """Keep what the views show of the next frame; the reference plays no part."""
        for view, pictures in self._pictures.items():
            places = [place for place, number in enumerate(view.frames) if number == self._seen]
            if places:
                pictures[places] = view.of(output.rgb)
        self._seen += 1

    def result(self) -> dict[str, Result]:
        """Return the mean over the draws of each measure; ValueError if there were not as many frames as said."""
        if self._seen != self._setting.frames:
            raise ValueError(f"{self._setting.clip}: {self._seen} frames came, {self._setting.frames} were announced")
        found = {view: self._raw(view) for view in self._pictures}
        raws = [
            {branch: statistics.fmean(found[view] for view in drawn if view.branch == branch) for branch in self._branches}
            for drawn in self._draws
        ]
        return {name: Result(value=statistics.fmean(score(name, raw) for raw in raws)) for name in self._names}

    def _raw(self, view: View) -> float:
        """Return the mean of the score map of one view."""
        clip = rearrange(torch.from_numpy(self._pictures[view]), "t h w c -> c t h w").to(self._setting.device)
        branch = self._network.technical if view.branch == "technical" else self._network.aesthetic
        with exact():
            raw = float(branch(clip).mean())
        if not math.isfinite(raw):
            raise ValueError(f"{self._setting.clip}: DOVER's {view.branch} branch gives {raw}")
        return raw
