"""A folder of PNG -> decoded frames, in the order of their numbers."""

import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path

import av
from av.video.frame import VideoFrame

_OTHERS = {".jpg": "JPEG", ".jpeg": "JPEG", ".bmp": "BMP", ".tif": "TIFF", ".tiff": "TIFF", ".webp": "WebP", ".gif": "GIF"}
_OTHERS |= {".exr": "OpenEXR", ".ppm": "PPM", ".jp2": "JPEG 2000", ".avif": "AVIF"}
_LOSSY = ("JPEG", "WebP", "JPEG 2000", "AVIF")


def pngs(path: Path) -> list[Path]:
    """Return the PNG of a folder by the numbers that end their names, which must follow one another.

    Hidden files and what is no picture are passed over. ValueError if a number is missing or there twice, if there is no
    PNG, or if other pictures are there.
    """
    try:
        names = sorted(name for name in os.listdir(path) if not name.startswith("."))
    except OSError as error:
        raise ValueError(f"{path}: the folder cannot be read ({error.strerror})") from error
    found = [path / name for name in names if name.lower().endswith(".png")]
    others = [path / name for name in names if Path(name).suffix.lower() in _OTHERS]
    if others and found:
        raise ValueError(f"{path}: it holds PNG and other pictures, such as {others[0].name}; which are the frames?")
    if others:
        kind = _OTHERS[others[0].suffix.lower()]
        reason = f"{kind} is lossy and does not keep the frames that were made" if kind in _LOSSY else f"convert {kind} to PNG"
        raise ValueError(f"{path}: frames must be PNG, found {others[0].name}: {reason}")
    if not found:
        raise ValueError(f"{path}: a folder without PNG frames")
    numbered: dict[int, Path] = {}
    for file in found:
        digits = re.search(r"(\d+)$", file.stem)
        if not digits or int(digits[1]) in numbered:
            raise ValueError(f"{file}: the name of a frame must end in a number of its own")
        numbered[int(digits[1])] = file
    order = sorted(numbered)
    for before, after in itertools.pairwise(order):
        if after != before + 1:
            raise ValueError(f"{path}: frame number {before + 1} is missing")
    return [numbered[number] for number in order]


def decoded(files: list[Path]) -> Iterator[VideoFrame]:
    """Yield the frame of every file; ValueError, with the file in it, if one is damaged or of another size."""
    size = None
    for file in files:
        frame = _decoded(file)
        size = size or (frame.width, frame.height)
        if (frame.width, frame.height) != size:
            raise ValueError(f"{file}: {frame.width}x{frame.height} pixels, the frames before {size[0]}x{size[1]}")
        yield frame


def _decoded(file: Path) -> VideoFrame:
    # FFmpeg's decoder checks every checksum, which Pillow does not, and keeps 16 bits.
    try:
        content = file.read_bytes()
        decoder = av.CodecContext.create("png", "r")
        decoder.thread_count = 1
        decoder.options = {"err_detect": "crccheck+explode"}
        frames = decoder.decode(av.Packet(content))
    except OSError as error:
        raise ValueError(f"{file}: cannot be read ({error.strerror})") from error
    except av.FFmpegError as error:
        raise ValueError(f"{file}: not a PNG, damaged or cut off ({error.strerror})") from error
    if len(frames) != 1 or frames[0].is_corrupt:
        raise ValueError(f"{file}: not a PNG, damaged or cut off")
    return frames[0]
