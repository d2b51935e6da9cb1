"""A clip as it lies on disk: how many frames of which sizes, and what is wrong with its files."""

import itertools
import re
import struct
from collections import Counter, defaultdict
from pathlib import Path
from typing import Literal, NamedTuple

from PIL import Image

from oasis import video
from oasis.cards import Size
from oasis.data.layout import entries

Kind = Literal["missing", "extra", "frames", "size", "damaged"]
_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"  # the last chunk of every PNG
_BROKEN = (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError)  # what PIL raises for damage


class Stored(NamedTuple):
    """What was seen of a clip.

    `gaps` is how many frames are missing between others, `sizes` all that occur, the usual one first, `wrong` what is wrong
    with its files.
    """

    path: Path
    frames: int
    gaps: int
    sizes: tuple[Size, ...]
    wrong: tuple[tuple[Kind, str], ...]


def look(path: Path) -> Stored:
    """Return what a folder of PNG or a video holds; what cannot be read is said in `wrong`, never raised.

    Of PNG every header and end is read, and no pixels; a video is decoded.
    """
    try:
        return _folder(path) if path.is_dir() else _video(path)
    except OSError as error:
        return Stored(path, 0, 0, (), (("damaged", f"{path}: cannot be read ({error.strerror or error})"),))


def _video(path: Path) -> Stored:
    frames, size = 0, None
    try:
        for frame in video.stream(path):
            frames, size = frames + 1, size or Size(frame.shape[2], frame.shape[1])
    except ValueError as error:
        return Stored(path, 0, 0, (size,) if size else (), (("damaged", str(error)),))
    return Stored(path, frames, 0, (size,) if size else (), ())


def _folder(path: Path) -> Stored:
    numbered, wrong = _numbered(path)
    numbers = sorted(numbered)
    gaps = [(before + 1, after - 1) for before, after in itertools.pairwise(numbers) if after > before + 1]
    if gaps:
        runs = [str(first) if first == last else f"{first} to {last}" for first, last in gaps]
        shown = ", ".join(runs[:20]) + ", ..." * (len(runs) > 20)
        wrong.append(("frames", f"{path}: of frames {numbers[0]} to {numbers[-1]}, {shown} missing"))
    sizes: dict[Path, Size] = {}
    for file in itertools.chain.from_iterable(numbered[number] for number in numbers):
        try:
            sizes[file] = _png_size(file)
        except _BROKEN as error:
            wrong.append(("damaged", f"{file}: not a PNG of 8 bits, damaged or cut off ({' '.join(str(error).split())})"))
    usual = tuple(size for size, _ in Counter(sizes.values()).most_common())
    wrong += (
        ("size", f"{file}: {size}, most frames of the clip are {usual[0]}") for file, size in sizes.items() if size != usual[0]
    )
    return Stored(path, len(numbers), sum(last - first + 1 for first, last in gaps), usual, tuple(wrong))


def _numbered(path: Path) -> tuple[dict[int, list[Path]], list[tuple[Kind, str]]]:
    """Return the frames of a folder by number, and what lies between them that is no frame or has a number twice."""
    numbered: dict[int, list[Path]] = defaultdict(list)
    wrong: list[tuple[Kind, str]] = []
    for entry in entries(path):
        digits = re.search(r"(\d+)$", entry.stem)
        if entry.suffix != ".png" or entry.is_dir():
            wrong.append(("extra", f"{entry}: no frame, the name of which ends in .png"))
        elif not digits:
            wrong.append(("extra", f"{entry}: the name of a frame must end in a number"))
        else:
            numbered[int(digits[1])].append(entry)
    for number, files in numbered.items():
        if len(files) > 1:
            wrong.append(("extra", f"{path}: {' and '.join(file.name for file in files)} all have the number {number}"))
    return numbered, wrong


def _png_size(path: Path) -> Size:
    """Return the size in a PNG's header; raise one of `_BROKEN` if it is none, or does not end as a PNG."""
    with Image.open(path, formats=["PNG"]) as image, open(path, "rb") as file:
        if image.mode not in ("RGB", "RGBA", "L", "P"):
            raise ValueError(f"mode {image.mode!r}")
        file.seek(-len(_END), 2)
        if file.read() != _END and _END not in path.read_bytes():
            raise ValueError("its end is missing")
        return Size(*image.size)
