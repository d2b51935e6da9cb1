"""Every measure by its protocol name, and profiles: which measures a paper's tables mean. Data only."""

import dataclasses
import difflib
import re

from oasis.measures.dover import DOVER
from oasis.measures.measure import Measure
from oasis.measures.perceptual import PERCEPTUAL
from oasis.measures.pixel import PIXEL, crop_of
from oasis.measures.profiles import IRREPRODUCIBLE, PROFILES, Irreproducible, Profile
from oasis.measures.temporal import TEMPORAL, find_boundary

__all__ = ["IRREPRODUCIBLE", "MEASURES", "PROFILES", "Irreproducible", "Measure", "Profile", "chosen", "find", "frames_of"]

MEASURES = {measure.name: measure for measure in (*PIXEL, *PERCEPTUAL, *DOVER, *TEMPORAL)}
THREE_FRAMES = (0, 50, 99)
ONE_BY_ONE = {measure.name.partition("@")[0] for measure in (*PIXEL, *PERCEPTUAL)} - {"vmaf"} | {"sharpness"}
"""Families whose measures look at frames one by one, so that frames may be left out; VMAF looks at motion too."""


def find(name: str) -> Measure:
    """Return a measure by its name, with what the name's suffixes change.

    `-cropN` cuts N pixels off every border (PSNR, SSIM), `-3f` takes frames 0, 50 and 99 only (RealBasicVSR's rule for
    VideoLQ), `boundary@chunk-N` and `boundary@tile-HxW` take any sizes. ValueError for a name that is none.
    """
    base, numbers = frames_of(name)
    found = MEASURES.get(base) or find_boundary(base)
    if found is None:
        stem, crop = crop_of(base)
        found = MEASURES.get(stem)
        if found is None:
            near = difflib.get_close_matches(name, MEASURES, n=1)
            meant = f"; did you mean {near[0]}?" if near else ""
            raise ValueError(f"there is no measure {name!r}; `oasis metrics list` shows all of them{meant}")
        found = dataclasses.replace(found, what=f"{found.what}; {crop} pixels cut off every border")
    if numbers:
        if base.endswith("@tecogan"):
            raise ValueError(f"{name}: TecoGAN's protocol has a rule of its own for frames; -3f cannot be added")
        if base.partition("@")[0] not in ONE_BY_ONE:
            allowed = ", ".join(sorted(ONE_BY_ONE))
            raise ValueError(f"{name}: it looks at frames in a row, which -3f does not leave; allowed before -3f: {allowed}")
        found = dataclasses.replace(found, what=f"{found.what}; frames {', '.join(map(str, numbers))} only")
    return dataclasses.replace(found, name=name)


def frames_of(name: str) -> tuple[str, tuple[int, ...] | None]:
    """Split off `-3f`: the measure's name without it, and the frames that count, None for all."""
    base = re.sub(r"-3f$", "", name)
    return base, None if base == name else THREE_FRAMES


def chosen(text: str) -> tuple[str, ...]:
    """Return the measures of a comma-separated list of profiles and measures, each once; ValueError names a wrong one."""
    names: dict[str, None] = {}
    for word in text.split(","):
        if word in PROFILES:
            names |= dict.fromkeys(PROFILES[word].measures)
        elif "@" in word:
            names[find(word).name] = None
        else:
            raise ValueError(f"{word!r} is neither a profile ({', '.join(PROFILES)}) nor a measure written name@protocol")
    return tuple(names)
