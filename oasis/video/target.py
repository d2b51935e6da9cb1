"""Exact video out: what is written, decided and refused before the first frame; then segments, then one file."""

from pathlib import Path

import av
from av.video.format import VideoFormat

from oasis.video import carried, encoders
from oasis.video.colour import SILENT
from oasis.video.encoders import Target
from oasis.video.joining import join
from oasis.video.segments import segment_frames, write_segment
from oasis.video.source import Source, Tags

__all__ = ["Target", "join", "segment_frames", "target", "write_segment"]

# Codecs by container; the first is the default.
_CODECS = {".mp4": ("h264", "h265"), ".mkv": ("ffv1", "h264", "h265"), ".mov": ("prores", "h264", "h265"), "": ("png",)}
# Encoder and pixel formats by depth, lossy and lossless.
_LOSSY = {
    "h264": ("libx264", {8: "yuv420p", 10: "yuv420p10le"}),
    "h265": ("libx265", {8: "yuv420p", 10: "yuv420p10le", 12: "yuv420p12le"}),
    "prores": ("prores_ks", {10: "yuv422p10le"}),
}
_LOSSLESS = {
    "ffv1": ("ffv1", {8: "bgr0", 10: "gbrp10le", 12: "gbrp12le", 16: "gbrp16le"}),
    "png": ("png", {8: "rgb24", 16: "rgb48be"}),
    "h264": ("libx264rgb", {8: "rgb24"}),
    "h265": ("libx265", {8: "gbrp", 10: "gbrp10le", 12: "gbrp12le"}),
}
_CRF = 18
# x265 4.2 writes behind its buffers at sizes such as 40x24.
_SMALLEST_H265 = 64


def target(
    path: Path | str,
    source: Source,
    *,
    scale: int,
    codec: str | None = None,
    crf: int | None = None,
    lossless: bool = False,
    streams: bool = True,
) -> Target:
    """Return what `path` will hold for a source made `scale` times as large: a container by its suffix, none for a folder.

    `.mp4` is H.264 by default, `.mkv` FFV1, `.mov` ProRes 422 HQ, a folder PNG. FFV1 and PNG hold RGB without loss, as
    `lossless` asks of H.264 (8 bits) and H.265; otherwise luma and chroma, 4:2:0 (ProRes 4:2:2), and 4:4:4 where a side is
    odd (ProRes 4444 where the width is). Depth and tags are those of the source: matrix and range too, unless it is untagged
    or RGB, which makes BT.709 in limited range. PNG is never tagged. `crf`, 0 to 51, less is better, is 18 by default.
    `streams` says whether audio and subtitles are to be carried along.
    ValueError, in one sentence, if this cannot be written, FileNotFoundError if there is no folder for it.
    """
    path = Path(path)
    suffix = path.suffix
    if suffix not in _CODECS:
        raise ValueError(f"{path}: cannot write {suffix!r}; allowed: .mp4, .mkv, .mov, or a folder, whose name has no suffix")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {path.parent} to write it into")
    if path.exists() and path.is_dir() != (not suffix):
        raise ValueError(f"{path}: is {'a folder' if path.is_dir() else 'a file'}; name another place")
    if path.exists() and path.samefile(source.path):
        raise ValueError(f"{path}: is the source itself; name another place")
    if codec is not None and codec not in _CODECS[suffix]:
        raise ValueError(f"{path}: codec {codec!r} is not written here; allowed: {', '.join(_CODECS[suffix])}")
    if codec is None:
        codec = next(name for name in _CODECS[suffix] if not lossless or name in _LOSSLESS)
    if lossless and codec not in _LOSSLESS:
        raise ValueError(f"{path}: {codec} is never lossless; .mkv with ffv1 and a folder of PNG are")
    lossless = lossless or codec not in _LOSSY
    if crf is not None and (lossless or codec == "prores"):
        raise ValueError(f"{path}: crf {crf} has no meaning for {codec}{' without loss' if lossless else ''}; leave it out")
    if crf is not None and not 0 <= crf <= 51:
        raise ValueError(f"{path}: crf is {crf}; allowed: 0 to 51")
    if codec == "ffv1" and source.pixel_aspect != 1:
        # FFmpeg has Matroska say it only where PyAV cannot ask for it; H.264 and H.265 say it themselves.
        kind = f"pixels of {source.pixel_aspect.numerator}:{source.pixel_aspect.denominator}"
        raise ValueError(f"{path}: {kind} cannot be stored as ffv1 in .mkv; h264 and h265 can, as can .mp4 and .mov")
    encoder, formats = (_LOSSLESS if lossless else _LOSSY)[codec]
    bits = min((depth for depth in formats if depth >= source.bits), default=None)
    if bits is None:
        others = "h265 holds 12 of them, and " if max(formats) < source.bits <= 12 and codec != "h265" and suffix else ""
        raise ValueError(
            f"{path}: {source.bits} bits per sample do not fit {codec}{' without loss' if lossless else ''}, which holds "
            f"{max(formats)}; {others}.mkv with ffv1 and a folder of PNG hold 16"
        )
    height, width = source.height * scale, source.width * scale
    pixels = formats[bits]
    if width % 2 or (height % 2 and "420" in pixels):
        pixels = pixels.replace("420", "444").replace("422", "444")
    if codec == "h265" and min(height, width) < _SMALLEST_H265:
        raise ValueError(f"{path}: {width}x{height} pixels are too few for h265, whose sides are {_SMALLEST_H265} or more")
    found = Target(
        suffix=suffix,
        codec=encoder,
        pixels=pixels,
        bits=bits,
        crf=_CRF if crf is None and encoder in ("libx264", "libx265") and not lossless else crf,
        lossless=lossless,
        tags=_tags(source, pixels, codec),
        height=height,
        width=width,
        fps=source.fps,
        pixel_aspect=source.pixel_aspect,
    )
    _try(path, found)
    if streams and suffix and not source.path.is_dir():
        carried.check(source.path, suffix)
    return found


def _tags(source: Source, pixels: str, codec: str) -> Tags:
    tags = source.tags
    if codec == "png":
        return Tags()
    if VideoFormat(pixels).is_rgb:
        return tags._replace(matrix=0, range=2)
    matrix, primaries, transfer, _ = tags
    if matrix in SILENT:
        matrix = 1
        primaries, transfer = (1 if code in SILENT else code for code in (primaries, transfer))
    full = source.colour.full_range and source.colour.matrix is not None and codec != "prores"
    return Tags(matrix, primaries, transfer, 2 if full else 1)


def _try(path: Path, target: Target) -> None:
    """Open the encoder, which knows its limits."""
    try:
        encoders.context(target).open()
    except av.FFmpegError as error:
        size = f"{target.width}x{target.height} pixels of {target.pixels}"
        raise ValueError(f"{path}: {target.codec} does not take {size} ({error.strerror}); .mkv with ffv1 may") from error
