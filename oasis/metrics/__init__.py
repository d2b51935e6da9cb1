"""Measures by their protocol names (`oasis.measures`), each module taking those of its families."""

import importlib
from collections.abc import Sequence
from typing import NamedTuple

from oasis.measures import frames_of
from oasis.metrics.frames import Frame
from oasis.metrics.meter import Meter, Result, Setting, Unavailable

MODULES = {
    "pixel": ("psnr", "ssim", "ms_ssim"),
    "structure": ("gmsd", "fsim", "vif", "nlpd"),
    "perceptual": ("lpips", "dists", "clipiqa", "musiq", "maniqa", "niqe", "brisque", "nrqm", "pi"),
    "vmaf": ("vmaf",),
    "dover": ("dover",),
    "warping": ("ewarp", "ewarp_excess"),
    "temporal": ("tof", "tlp", "flicker", "sharpness"),
    "boundaries": ("boundary",),
}
# These share their work, by module or by flow. All others are alone, so that one that fails takes no other along: VIF is no
# number on some frames, and whether anything stands still for flicker shows at a clip's end.
TOGETHER = ("dover", "boundary")
BY_PROTOCOL = ("ewarp", "ewarp_excess")
_MODULE = {family: module for module, families in MODULES.items() for family in families}


class Group(NamedTuple):
    """Measures that are taken together, and what takes them."""

    names: tuple[str, ...]
    meter: Meter


def meters(names: Sequence[str], setting: Setting) -> tuple[list[Group], dict[str, Exception]]:
    """Return meters for what can be measured on a clip, and by name why the rest cannot.

    `Unavailable` is what this machine lacks, ValueError what the clip lacks.
    """
    groups: dict[tuple[str, tuple[int, ...] | None, str], list[str]] = {}
    for name in names:
        _, numbers = frames_of(name)
        family = name.partition("@")[0]
        groups.setdefault((_MODULE[family], numbers, _shared(name)), []).append(name)
    made: list[Group] = []
    refused: dict[str, Exception] = {}
    for (module, numbers, _), members in groups.items():
        found, misfits = _make(module, members, numbers, setting)
        made += found
        refused |= misfits
    return made, refused


def _shared(name: str) -> str:
    """Return what measures of one module must have in common to be taken by one meter."""
    family, _, protocol = name.partition("@")
    return "" if family in TOGETHER else protocol if family in BY_PROTOCOL else name


def _make(
    module: str, names: list[str], numbers: tuple[int, ...] | None, setting: Setting
) -> tuple[list[Group], dict[str, Exception]]:
    try:
        return [Group(tuple(names), _of_module(module, names, numbers, setting))], {}
    except (Unavailable, ValueError) as error:
        if len(names) == 1:
            return [], {names[0]: error}
    made: list[Group] = []
    refused: dict[str, Exception] = {}
    for name in names:
        found, misfit = _make(module, [name], numbers, setting)
        made += found
        refused |= misfit
    return made, refused


def _of_module(module: str, names: list[str], numbers: tuple[int, ...] | None, setting: Setting) -> Meter:
    make = importlib.import_module(f"oasis.metrics.{module}").make
    if numbers is None:
        return make(names, setting)
    if setting.frames <= max(numbers):
        raise ValueError(f"it has {setting.frames} frames; frames {', '.join(map(str, numbers))} are what is measured")
    return _Selected({frames_of(name)[0]: name for name in names}, numbers, make, setting)


class _Selected:
    """Measures of some frames only, by number."""

    def __init__(self, renamed: dict[str, str], numbers: tuple[int, ...], make: object, setting: Setting) -> None:
        self.renamed, self.numbers, self.seen = renamed, numbers, 0
        self.meter: Meter = make(list(renamed), setting)  # type: ignore[operator]

    def add(self, output: Frame, reference: Frame | None) -> None:
        if self.seen in self.numbers:
            self.meter.add(output, reference)
        self.seen += 1

    def result(self) -> dict[str, Result]:
        return {
            self.renamed[name]: Result(value=found.value, series=found.series, numbers=self.numbers)
            for name, found in self.meter.result().items()
        }
