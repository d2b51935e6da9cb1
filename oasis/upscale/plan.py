"""How a clip is cut: frames into chunks, within their scenes, and chunks into segments that are written together."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from oasis import cuts
from oasis.upscale.chunks import Chunk, chunks
from oasis.upscale.job import Job
from oasis.upscale.levels import as_bytes
from oasis.video.source import Frame, frames

CHUNKS = 2
"""Chunks in a segment: what a run that is stopped does again, and how often an encoded clip has a key frame."""


@dataclass(frozen=True)
class Segment:
    """Chunks whose frames are encoded together."""

    number: int
    chunks: tuple[Chunk[Frame], ...]

    @property
    def frames(self) -> int:
        """How many frames come out of it."""
        return sum(chunk.ready for chunk in self.chunks)


@dataclass
class Plan:
    """The segments of a clip, in their order, and what was seen on the way: times and durations of frames, scenes."""

    job: Job
    times: list[tuple[int, int]] = field(default_factory=list)
    scenes: int = 0

    def segments(self) -> Iterator[Segment]:
        """Read the clip, once; the same clip is always cut alike."""
        read = self._frames()
        marked = cuts.marked(read, as_bytes) if self.job.find_cuts else ((frame, False) for frame in read)
        return grouped(chunks(self._counted(marked), self.job.tiling))

    def _frames(self) -> Iterator[Frame]:
        for number, frame in enumerate(frames(self.job.source.path)):
            if number == self.job.frames:
                return
            self.times.append((frame.pts, frame.duration))
            yield frame

    def _counted(self, marked: Iterable[tuple[Frame, bool]]) -> Iterator[tuple[Frame, bool]]:
        for number, (frame, cut) in enumerate(marked):
            self.scenes += cut or not number
            yield frame, cut


def grouped(found: Iterable[Chunk[Frame]]) -> Iterator[Segment]:
    """Yield chunks by `CHUNKS`."""
    waiting: list[Chunk[Frame]] = []
    number = 0
    for chunk in found:
        if len(waiting) == CHUNKS:
            yield Segment(number, tuple(waiting))
            waiting, number = [], number + 1
        waiting.append(chunk)
    if waiting:
        yield Segment(number, tuple(waiting))
