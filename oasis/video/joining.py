"""Segments -> the final video: packets are copied, times and the other streams come from the source."""

import heapq
import itertools
import math
import os
import shutil
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
from av.container import OutputContainer
from av.stream import Stream
from av.video.stream import VideoStream

from oasis import files
from oasis.video import carried, containers, encoders, segments
from oasis.video.encoders import Target
from oasis.video.source import Source

_MILLISECOND = Fraction(1, 1000)


def join(
    out: Path | str,
    parts: Sequence[Path | str],
    target: Target,
    source: Source,
    times: Sequence[tuple[int, int]],
    *,
    streams: bool = True,
) -> None:
    """Join segments of a target, in order, to the video `out`, which appears whole or not at all.

    `times` are (pts, duration) of every frame in ticks of `source.time_base`. MP4 and MOV store them exactly, but those of a
    constant rate that the source could only store rounded to its ticks, as Matroska does, become even again. Matroska
    stores whole milliseconds: a time is rounded to the nearest one, and what comes from Matroska stays as it is. It also
    stores the mean rate, to nanoseconds, which alone says how long the last frame is shown. `streams` carries audio,
    subtitles, chapters and the title of the source along, packets unchanged and in the same relation to the video; of
    MPEG-TS and MPEG-PS, whose clocks start anywhere, the file's start becomes time 0. PNG have no times and nothing beside
    them: they are linked (copied where the disk has no links).
    ValueError if segments differ in their encoder's settings, are damaged, or are not as many frames as there are times,
    if times do not increase or do not fit the container, or if it does not take a stream.
    """
    out = Path(out)
    paths = [Path(part) for part in parts]
    for number, ((before, _), (after, _)) in enumerate(itertools.pairwise(times), 1):
        if after <= before:
            raise ValueError(f"{out}: frame {number} is shown at time {after}, which is not after {before}")
    if not paths or not times:
        raise ValueError(f"{out}: a video without frames cannot be written")
    if not target.suffix:
        _link(out, paths, len(times))
        return
    carry = streams and not source.path.is_dir()
    if carry:
        carried.check(source.path, target.suffix)
    with files.replacing(out) as temporary:
        _mux(temporary, out, paths, target, source, times, carry)


def _mux(
    temporary: Path,
    out: Path,
    parts: list[Path],
    target: Target,
    source: Source,
    times: Sequence[tuple[int, int]],
    carry: bool,
) -> None:
    origin = _origin(source.path) if carry else Fraction(0)
    shown = [(start - origin, duration) for start, duration in _shown(source, times)]
    tick = _MILLISECOND if target.suffix == ".mkv" else _tick(out, shown)
    ticks = [round(start / tick) for start, _ in shown]
    if any(after <= before for before, after in itertools.pairwise(ticks)):
        raise ValueError(f"{out}: two frames are less than 1 ms apart, which Matroska cannot store; .mp4 and .mov can")
    # Packets come in order of time, so that none needs to wait for another; and what starts before time 0 may do so.
    settings = {"fflags": "+bitexact", "max_interleave_delta": "1", "avoid_negative_ts": "disabled"}
    if target.suffix != ".mkv":
        settings["movie_timescale"] = str(_movie_timescale(tick, source.path if carry else None))
    with av.open(str(temporary), "w", format=carried.MUXERS[target.suffix], options=settings) as container:
        video = _video_stream(container, parts[0], target)
        video.time_base = tick
        others = _other_streams(container, source.path) if carry else {}
        lengths = [round(duration / tick) for _, duration in shown]
        if target.suffix == ".mkv":
            lengths[-1] = round(1 / (encoders.rate(target) * tick))  # what a reader will take it for
        timed = _timed(out, parts, video, list(zip(ticks, lengths, strict=True)), tick)
        beside = _moved(source.path, others, origin) if others else iter(())
        for packet in heapq.merge(timed, beside, key=_moment):
            container.mux(packet)


def _shown(source: Source, times: Sequence[tuple[int, int]]) -> list[tuple[Fraction, Fraction]]:
    """Return when every frame is shown and how long, in seconds; evenly where all times are, but for the source's ticks."""
    tick, step = source.time_base, 1 / source.fps
    stored = [(pts * tick, duration * tick) for pts, duration in times]
    even = [(stored[0][0] + number * step, step) for number in range(len(stored))]
    same = all(abs(time - other) < tick for (time, _), (other, _) in zip(stored, even, strict=True))
    return even if source.constant_rate and same and len(stored) > 1 else stored


def _video_stream(container: OutputContainer, part: Path, target: Target) -> VideoStream:
    with containers.opened(part) as (_, template):
        video = container.add_stream_from_template(template, opaque=True)
    context = video.codec_context
    context.colorspace, context.color_primaries, context.color_trc, context.color_range = target.tags
    context.sample_aspect_ratio = target.pixel_aspect
    context.framerate = encoders.rate(target)
    if target.codec == "libx265" and target.suffix != ".mkv":
        context.codec_tag = "hvc1"  # players of Apple know no other
    return video


def _other_streams(container: OutputContainer, path: Path) -> dict[int, Stream]:
    """Add what is carried along, by its index in the source; and what the source says of itself and of these streams."""
    added = {}
    with containers.opened(path) as (source, _):
        for template in carried.others(source):
            stream = container.add_stream_from_template(template, opaque=True)
            stream.metadata.update({key: template.metadata[key] for key in ("language", "title") if key in template.metadata})
            stream.disposition = template.disposition
            added[template.index] = stream
        if "title" in source.metadata:
            container.metadata["title"] = source.metadata["title"]
        container.set_chapters(source.chapters())
    return added


def _timed(
    out: Path, parts: list[Path], video: VideoStream, times: list[tuple[int, int]], tick: Fraction
) -> Iterator[av.Packet]:
    """Yield the packets of all segments at their times, checking that they are one video."""
    extradata = video.codec_context.extradata
    remaining = iter(times)
    count = 0
    for part in parts:
        with containers.opened(part) as (_, found):
            if found.codec_context.extradata != extradata or found.codec_context.name != video.codec_context.name:
                raise ValueError(f"{part}: encoded with other settings than {parts[0].name}; make all segments again")
        for packet in segments.packets(part):
            time = next(remaining, None)
            if time is None:
                raise ValueError(f"{out}: the segments hold more frames than the {len(times)} that have a time")
            packet.stream, packet.time_base = video, tick
            packet.pts = packet.dts = time[0]
            packet.duration = time[1]
            count += 1
            yield packet
    if count < len(times):
        raise ValueError(f"{out}: the segments hold {count} frames, {len(times)} have a time")


def _moved(path: Path, streams: dict[int, Stream], origin: Fraction) -> Iterator[av.Packet]:
    for packet in carried.packets(path):
        shift = round(origin / packet.time_base)
        assert packet.pts is not None and packet.dts is not None
        packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
        packet.stream = streams[packet.stream.index]
        yield packet


def _moment(packet: av.Packet) -> Fraction:
    assert packet.dts is not None
    return packet.dts * Fraction(packet.time_base)


def _origin(path: Path) -> Fraction:
    """Return the seconds at which a file's clock starts if that has no meaning, else 0."""
    with containers.opened(path) as (container, video):
        if container.format.name not in ("mpeg", "mpegts") or container.start_time is None:
            return Fraction(0)
        # FFmpeg says it in microseconds; all streams count in the ticks of the video.
        assert video.time_base is not None
        return round(Fraction(container.start_time, av.time_base) / video.time_base) * Fraction(video.time_base)


def _tick(out: Path, times: list[tuple[Fraction, Fraction]]) -> Fraction:
    """Return the longest 1/n s in which all times are whole."""
    tick = Fraction(1, math.lcm(*(moment.denominator for time in times for moment in time)))
    if tick.denominator >= 2**31:
        raise ValueError(f"{out}: times of 1/{tick.denominator} s cannot be stored in MP4 or MOV; .mkv rounds them to 1 ms")
    return tick


def _movie_timescale(tick: Fraction, path: Path | None) -> int:
    """Return the unit in which MP4 says when a track starts: one that all tracks share, if 31 bits hold it."""
    rates = [tick.denominator]
    if path is not None:
        with containers.opened(path) as (source, _):
            rates += [audio.codec_context.sample_rate for audio in source.streams.audio if audio.codec_context is not None]
    shared = math.lcm(*rates)
    return shared if shared < 2**31 else (2**31 - 1) // tick.denominator * tick.denominator


def _link(out: Path, parts: list[Path], count: int) -> None:
    frames = [frame for part in parts for frame in sorted(part.glob("*.png"))]
    if len(frames) != count:
        raise ValueError(f"{out}: the segments hold {len(frames)} frames, {count} have a time")
    with files.replacing_folder(out) as folder:
        for number, frame in enumerate(frames):
            try:
                os.link(frame, folder / f"{number:08d}.png")
            except OSError:
                shutil.copyfile(frame, folder / f"{number:08d}.png")
    for stale in out.glob("[0-9]" * 8 + ".png"):
        if int(stale.stem) >= count:
            stale.unlink()
