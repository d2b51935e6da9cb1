"""The streams beside the video of a file, audio and subtitles: what they are and which containers take them."""

import os
from collections.abc import Iterator
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Stream

from oasis.video import containers

# FFmpeg's names of the containers that are written.
MUXERS = {".mkv": "matroska", ".mp4": "mp4", ".mov": "mov"}


def others(container: InputContainer) -> list[Stream]:
    """Return the audio and subtitle streams of an open file. Pictures, fonts and data are left behind."""
    return [stream for stream in container.streams if stream.type in ("audio", "subtitle")]


def described(stream: Stream) -> str:
    """Return a short description, such as "stream 1: audio aac, 48000 Hz, stereo, eng"."""
    parts = [f"stream {stream.index}: {stream.type} {_codec(stream)}"]
    if isinstance(stream, AudioStream) and stream.codec_context is not None:
        parts += [f"{stream.codec_context.sample_rate} Hz", stream.codec_context.layout.name]
    return ", ".join([*parts, *([stream.language] if stream.language and stream.language != "und" else [])])


def check(path: Path, suffix: str) -> None:
    """Refuse, in a ValueError, the first stream beside the video at `path` that a container of this suffix does not take."""
    with containers.opened(path) as (container, _):
        for stream in others(container):
            if not _takes(suffix, stream):
                takers = [other for other in MUXERS if _takes(other, stream)]
                where = f"{' and '.join(takers)} can" if takers else f"nor can {' or '.join(set(MUXERS) - {suffix})}"
                raise ValueError(
                    f"{path}: {suffix} cannot carry {described(stream)}; {where}; or leave the streams beside the video out"
                )


def packets(path: Path) -> Iterator[av.Packet]:
    """Yield the packets of the streams beside the video, in the order of the file; errors as `containers.opened`."""
    with containers.opened(path) as (container, _):
        carried = others(container)
        for packet in container.demux(carried) if carried else ():
            if packet.pts is None:
                packet.pts = packet.dts
            if packet.dts is not None:  # the last, empty ones have no time
                if packet.is_corrupt:
                    raise ValueError(f"{path}: damaged in {described(packet.stream)}")
                yield packet


def _codec(stream: Stream) -> str:
    return "of unknown codec" if stream.codec_context is None else stream.codec_context.codec.canonical_name


def _takes(suffix: str, stream: Stream) -> bool:
    if stream.codec_context is None:
        return False
    try:
        # Some refusals come with the header only.
        with av.open(os.devnull, "w", format=MUXERS[suffix]) as trial:
            trial.add_stream_from_template(stream, opaque=True)
            trial.start_encoding()
    except (ValueError, av.FFmpegError):
        return False
    return True
