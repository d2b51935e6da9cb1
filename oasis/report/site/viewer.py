"""Frames for looking side by side: what lies under frames/DATASET/CLIP/METHOD.png, and x-t slices METHOD-xt.png."""

from pathlib import Path
from typing import NamedTuple

from oasis.report.site.names import address

SLICE = "-xt"


class Shot(NamedTuple):
    """What one method has of one clip: addresses relative to the page, "" where there is no file."""

    method: str
    frame: str
    slice: str


class Clip(NamedTuple):
    """A clip and its shots."""

    dataset: str
    name: str
    shots: list[Shot]


def find_clips(frames: Path) -> list[Clip]:
    """Return every clip that has a picture, in the order of its name; none where the folder does not exist."""
    found: dict[tuple[str, str], dict[str, list[str]]] = {}
    for path in sorted(Path(frames).glob("*/*/*.png")):
        dataset, clip, file = path.relative_to(frames).parts
        method = path.stem.removesuffix(SLICE)
        shot = found.setdefault((dataset, clip), {}).setdefault(method, ["", ""])
        shot[path.stem.endswith(SLICE)] = address("frames", dataset, clip, file)
    return [
        Clip(dataset, clip, [Shot(method, *shot) for method, shot in sorted(shots.items())])
        for (dataset, clip), shots in found.items()
    ]
