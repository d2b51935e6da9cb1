"""A part of a video that is done: frames -> one closed file, or a folder of PNG, that is whole or absent."""

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

import av
from av.video.stream import VideoStream
from jaxtyping import UInt8, UInt16
from numpy import ndarray

from oasis import files
from oasis.video import containers, encoders, folders
from oasis.video.encoders import Target


def write_segment(
    path: Path | str, frames: Iterable[UInt8[ndarray, "h w 3"] | UInt16[ndarray, "h w 3"]], target: Target
) -> int:
    """Write frames, RGB in full range, 0..255 or 0..65535, as a segment of a target; return how many they were.

    A segment needs no other: it starts with a key frame. Equal frames give equal bytes, whatever the number of cores.
    ValueError if there is no frame, or if one has not the target's size.
    """
    path = Path(path)
    pixels = _checked(path, frames, target)
    if target.suffix:
        with files.replacing(path) as temporary:
            return _encode(temporary, pixels, target)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as temporary:
        folder = Path(temporary) / "frames"
        folder.mkdir()
        count = _save(folder, pixels, target)
        if path.exists():
            shutil.rmtree(path)
        folder.rename(path)
    return count


def segment_frames(path: Path | str) -> int:
    """Return the number of frames of a segment; ValueError if it is damaged or no segment. Only PNG are decoded for that."""
    path = Path(path)
    if path.is_dir():
        return sum(1 for _ in folders.decoded(folders.pngs(path)))
    count = sum(1 for _ in packets(path))
    if not count:
        raise ValueError(f"{path}: a segment without frames")
    return count


def packets(path: Path) -> Iterable[av.Packet]:
    """Yield the packets of a segment that is a file, one for each frame, in order; errors as in `segment_frames`."""
    with containers.opened(path) as (container, video):
        if not container.format.name.startswith("matroska"):
            raise ValueError(f"{path}: not a segment but {container.format.name}")
        for packet in containers.packets(path, container, video):
            if packet.size:
                yield packet


def _checked(path: Path, frames: Iterable[ndarray], target: Target) -> Iterable[ndarray]:
    number = -1
    for number, pixels in enumerate(frames):
        if pixels.dtype not in ("uint8", "uint16") or pixels.shape != (target.height, target.width, 3):
            wanted = f"uint8 or uint16 of shape ({target.height}, {target.width}, 3)"
            raise ValueError(f"{path}: frame {number} is {pixels.dtype} of shape {pixels.shape}; needed: {wanted}")
        yield pixels
    if number < 0:
        raise ValueError(f"{path}: a segment without frames cannot be written")


def _encode(path: Path, frames: Iterable[ndarray], target: Target) -> int:
    # Matroska whatever the target: its checksums say whether a segment is whole. Its times are replaced when it is joined.
    # Without bitexact the muxer writes random identifiers.
    with av.open(str(path), "w", format="matroska", options={"fflags": "+bitexact"}) as container:
        video = container.add_stream(target.codec, rate=encoders.rate(target), options=encoders.options(target))
        assert isinstance(video, VideoStream)
        encoders.configure(video.codec_context, target)
        count = 0
        for pixels in frames:
            frame = encoders.stored(pixels, target)
            frame.pts, frame.time_base = count, 1 / encoders.rate(target)
            container.mux(video.encode(frame))
            count += 1
        container.mux(video.encode(None))
    return count


def _save(folder: Path, frames: Iterable[ndarray], target: Target) -> int:
    number = -1
    for number, pixels in enumerate(frames):
        encoder = encoders.context(target)
        frame = encoders.stored(pixels, target)
        packets = [*encoder.encode(frame), *encoder.encode(None)]
        (folder / f"{number:08d}.png").write_bytes(b"".join(bytes(packet) for packet in packets))
    return number + 1
