"""A video file -> decoded frames, whole and undamaged as far as the file can tell."""

import contextlib
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.sidedata.sidedata import SideDataContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from oasis.video import ffv1, matroska

# FFmpeg opens much more: text as ANSI art, playlists that name other files, a picture as a clip of one frame.
_DEMUXERS = "asf,avi,flv,h264,hevc,ivf,matroska,mov,mpeg,mpegts,mxf,ogg,yuv4mpegpipe"
_PICTURES = {b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPEG", b"BM": "BMP", b"II*\0": "TIFF", b"MM\0*": "TIFF", b"GIF8": "GIF"}


@contextlib.contextmanager
def opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a file and find its one video.

    FileNotFoundError if there is nothing; ValueError, with the path in it, if it cannot be read, is no video, or FFmpeg
    meets an error within the block.
    """
    _check(path)
    try:
        # "file:" because FFmpeg takes "a:b.mp4" for the protocol "a"; a damaged text tag need not be UTF-8.
        with av.open(f"file:{path}", metadata_errors="replace", options={"format_whitelist": _DEMUXERS}) as container:
            yield container, _video(path, container)
    except av.FFmpegError as error:
        raise ValueError(f"{path}: not a video, or damaged or cut off ({error.strerror})") from error


def decoded(path: Path, *, turned: bool = False) -> Iterator[VideoFrame]:
    """Yield the frames of a file, in order of display, as they are stored.

    ValueError, with the path in it, where the file is damaged or cut off, changes its size or pixel format, or, unless
    `turned`, is to be turned for display; and at the end if frames are missing.
    """
    with opened(path) as (container, video):
        # Frame threads are faster but lose errors: damaged frames near the end of a clip would vanish in silence.
        video.thread_type = "SLICE"
        video.codec_context.options = {"err_detect": "crccheck+explode"}
        count = hidden = 0
        end = Fraction(0)
        shape = None
        for packet in packets(path, container, video):
            hidden += packet.is_discard  # an edit list may cut frames away
            try:
                frames = packet.decode()
            except av.FFmpegError as error:
                raise ValueError(f"{path}: damaged or cut off at frame {count} ({error.strerror})") from error
            for frame in frames:
                shape = shape or _shape(frame)
                if frame.is_corrupt:
                    raise ValueError(f"{path}: damaged or cut off at frame {count}")
                if shape != _shape(frame):
                    raise ValueError(f"{path}: damaged, or two clips: {shape} before frame {count}, then {_shape(frame)}")
                if not turned and not _upright(frame):
                    raise ValueError(f"{path}: to be turned or mirrored for display; store its frames upright")
                if frame.pts is not None and frame.time_base is not None:
                    end = max(end, frame.time_base * (frame.pts + frame.duration))
                count += 1
                yield frame
        if not count:
            raise ValueError(f"{path}: a video without frames")
        if count < video.frames - hidden:
            raise ValueError(f"{path}: cut off: {video.frames - hidden} frames are announced, {count} are there")
        if end and end < _announced_end(container, video) - Fraction(1, 2) / (video.average_rate or 25):
            raise ValueError(f"{path}: cut off: it ends after {float(end):.2f} s and {count} frames, before its announced end")


def _check(path: Path) -> None:
    """Say what is plainly no video, which FFmpeg would call invalid data; check what a Matroska file says of itself."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder")
    if not path.is_file():
        raise ValueError(f"{path}: neither a file nor a folder")
    try:
        with path.open("rb") as file:
            start = file.read(4)
        matroska.check(path)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
    if not start:
        raise ValueError(f"{path}: not a video: the file is empty")
    for signature, name in _PICTURES.items():
        if start.startswith(signature):
            raise ValueError(f"{path}: not a video but a {name} picture; a clip of pictures is a folder of PNG")


def _video(path: Path, container: InputContainer) -> VideoStream:
    videos = [video for video in container.streams.video if not video.disposition & Disposition.attached_pic]
    if not videos:
        raise ValueError(f"{path}: not a video")
    if len(videos) > 1:
        raise ValueError(f"{path}: it holds {len(videos)} videos; one per file is needed")
    # A file cut inside its header may leave a stream without a decoder.
    if videos[0].codec_context is None or videos[0].codec_context.format is None:
        raise ValueError(f"{path}: a video without a frame that can be decoded")
    if videos[0].metadata.get("alpha_mode") == "1":
        raise ValueError(f"{path}: it has transparent pixels, which FFmpeg's decoder drops; write frames without alpha")
    return videos[0]


def packets(path: Path, container: InputContainer, video: VideoStream) -> Iterator[av.Packet]:
    """Yield the packets of a video; ValueError where their container or a checksum says that one is damaged."""
    protected = set()
    for number, packet in enumerate(container.demux(video)):
        if packet.size and video.codec_context.name == "ffv1":
            protected.add(ffv1.intact(bytes(packet)))
        if packet.is_corrupt or False in protected or len(protected) > 1:
            raise ValueError(f"{path}: damaged or cut off: a checksum or the length of frame {number} is wrong")
        yield packet


def _shape(frame: VideoFrame) -> str:
    return f"{frame.width}x{frame.height} {frame.format.name}"


def placement(frame: VideoFrame) -> tuple[int, int, int, int]:
    """Return by how much a player moves a pixel's right neighbour right and down, then the neighbour below right and down.

    In units of 2**-16 pixels, from the 3x3 matrix that containers store; (1, 0, 0, 1) where there is none.
    """
    # `frame.side_data` would refer back to the frame, which then waits, with its pixels, for the garbage collector.
    matrix: Any = SideDataContainer(frame).get("DISPLAYMATRIX")  # type: ignore[call-arg]  # PyAV's stub has no arguments
    if matrix is None:
        return 1, 0, 0, 1
    right, down_right, _, right_down, down = np.frombuffer(matrix, np.int32)[:5].tolist()
    return right, down_right, right_down, down


def _upright(frame: VideoFrame) -> bool:
    """Return whether a player neither turns nor mirrors the picture."""
    right, down_right, right_down, down = placement(frame)
    return right > 0 and down > 0 and down_right == right_down == 0


def _announced_end(container: InputContainer, video: VideoStream) -> Fraction:
    """Return the seconds at which Matroska or MP4 say that the video ends, 0 where nothing is said."""
    tag = re.fullmatch(r"(\d+):(\d+):(\d+\.\d+)", video.metadata.get("DURATION", ""))
    if tag:
        return int(tag[1]) * 3600 + int(tag[2]) * 60 + Fraction(tag[3])
    if container.format.name.startswith(("matroska", "mov")) and len(container.streams) == 1 and container.duration:
        return Fraction(container.duration, av.time_base)
    return Fraction(0)
