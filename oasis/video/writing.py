"""Frames -> a file or a folder of PNG, whole or not at all."""

import itertools
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from einops import rearrange
from jaxtyping import UInt8
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from oasis import files
from oasis.video.colour import SCALER


def write(path: Path | str, frames: Iterable[UInt8[Tensor, "3 h w"]], fps: Fraction | int, *, crf: int = 18) -> None:
    """Write frames, RGB 0..255, one by one: `.mp4` (H.264), `.mkv` (FFV1, lossless) or a folder of PNG (no suffix).

    MP4 is BT.709 in limited range and tagged so; 4:2:0, or 4:4:4 where a side is odd; `crf` is x264's, less is better.
    A file appears whole or not at all; the numbered frames that a folder already has are replaced.
    """
    path = Path(path)
    if path.suffix not in (".mp4", ".mkv", ""):
        raise ValueError(f"{path}: cannot write {path.suffix!r}; allowed: .mp4, .mkv, or a folder, whose name has no suffix")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {path.parent} to write it into")
    pixels = _checked(path, frames)
    if path.suffix:
        with files.replacing(path) as temporary:
            _encode(temporary, pixels, Fraction(fps), crf)
    else:
        _save(path, pixels)


def _checked(path: Path, frames: Iterable[Tensor]) -> Iterator[NDArray[np.uint8]]:
    shape = None
    for frame in frames:
        shape = frame.shape if shape is None else shape
        if frame.dtype != torch.uint8 or frame.ndim != 3 or frame.shape[0] != 3 or frame.shape != shape:
            raise ValueError(f"{path}: frames must be uint8 of one shape (3, h, w), got {frame.dtype} {tuple(frame.shape)}")
        yield np.ascontiguousarray(rearrange(frame, "c h w -> h w c").cpu().numpy())
    if shape is None:
        raise ValueError(f"{path}: a clip without frames cannot be written")


def _encode(path: Path, pixels: Iterator[NDArray[np.uint8]], fps: Fraction, crf: int) -> None:
    first = next(pixels)
    height, width, _ = first.shape
    # Without bitexact the muxers write random identifiers: the same frames would give another file every time.
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        if path.suffix == ".mkv":
            video = container.add_stream("ffv1", rate=fps)
            video.pix_fmt = "bgr0"
        else:
            video = container.add_stream("libx264", rate=fps, options={"crf": str(crf)})
            video.pix_fmt = "yuv444p" if height % 2 or width % 2 else "yuv420p"
            context = video.codec_context
            context.colorspace = context.color_primaries = context.color_trc = 1  # BT.709
            context.color_range = ColorRange.MPEG
        video.height, video.width = height, width
        for number, image in enumerate(itertools.chain([first], pixels)):
            frame = VideoFrame.from_ndarray(image, format="rgb24")
            if path.suffix == ".mp4":
                frame = frame.reformat(
                    format=video.pix_fmt,
                    src_colorspace=Colorspace.ITU709,
                    dst_colorspace=Colorspace.ITU709,
                    src_color_range=ColorRange.JPEG,
                    dst_color_range=ColorRange.MPEG,
                    interpolation=SCALER,
                )
            frame.pts, frame.time_base = number, 1 / fps
            container.mux(video.encode(frame))
        container.mux(video.encode(None))


def _save(path: Path, pixels: Iterator[NDArray[np.uint8]]) -> None:
    names = set()
    with files.replacing_folder(path) as folder:
        for number, image in enumerate(pixels):
            names.add(f"{number:08d}.png")
            Image.fromarray(image).save(folder / f"{number:08d}.png")
    for stale in path.glob("[0-9]" * 8 + ".png"):
        if stale.name not in names:
            stale.unlink()
