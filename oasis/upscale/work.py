"""The frames of a clip become segments of larger frames: what a process does, chunk by chunk."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from oasis.model import graphed
from oasis.model.oasis import Oasis
from oasis.tiling import Tiling
from oasis.upscale.chunks import Chunk, Seam
from oasis.upscale.frames import upscale_chunk
from oasis.upscale.job import Job
from oasis.upscale.levels import as_levels, as_network, check, reduced
from oasis.upscale.parts import Parts
from oasis.upscale.plan import Segment
from oasis.upscale.ranks import Ranks
from oasis.video.source import Frame


class Work:
    """One process's share of a clip."""

    def __init__(
        self, model: Oasis, job: Job, parts: Parts, ranks: Ranks, tick: Callable[[int], Any], say: Callable[[str], Any]
    ) -> None:
        if model.config.scale % job.scale:
            raise ValueError(f"scale is {job.scale}; allowed: what divides the {model.config.scale} of {model.config.name!r}")
        self.model, self.job, self.parts, self.ranks, self.tick, self.say = model, job, parts, ranks, tick, say
        self.tiling, self.made = job.tiling, 0
        self.notes = parts.whole()  # of segments that were there before: what others finish meanwhile changes nothing here
        self.seam: Seam | None = None  # None where the chunk before was not made here
        self.before: Chunk[Frame] | None = None

    def run(self, segments: Iterable[Segment]) -> int:
        """Make those segments that are this process's and not there yet; return how many there are in all."""
        count = 0
        for segment in segments:
            count += 1
            note = self.notes.get(segment.number)
            if note is not None:
                self.tiling, self.seam = _tiling(note["tile"], self.job.tiling), None
                self.tick(segment.frames)
            elif self.ranks.makes(segment.number):
                self._make(segment)
            else:
                self.seam = None
            self.before = segment.chunks[-1]
        return count

    def _make(self, segment: Segment) -> None:
        while True:
            self.made = 0
            try:
                seam = self._seam(segment.chunks[0])
                note, pictures = {"frames": segment.frames, "tile": str(self.tiling)}, self._pictures(segment, seam)
                if self.ranks.first or not self.ranks.together:
                    self.parts.add(segment.number, pictures, self.job.target, note)
                else:
                    deque(pictures, maxlen=0)  # a part of the work on every picture, which the first process writes
                self.seam = seam
                return
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not _out_of_memory(error) or self.ranks.together:
                    raise  # of those who work together, the others do not know of it
                self._shrink(segment)

    def _seam(self, chunk: Chunk[Frame]) -> Seam:
        """Return the seam before a chunk, a copy; the chunk before is upscaled again where it was not just now."""
        if self.seam is not None:
            return self.seam.copy()
        seam = Seam()
        if chunk.shared:
            assert self.before is not None
            seam.resume(self.before, self._upscaled(self.before))
        return seam

    def _pictures(self, segment: Segment, seam: Seam) -> Iterator[ndarray]:
        for chunk in segment.chunks:
            ready = seam.join(chunk, self._upscaled(chunk))
            for frame in ready[0].unbind(1):
                yield as_levels(reduced(frame, self.model.config.scale // self.job.scale), self.job.target.bits)
                self.made += 1
                self.tick(1)

    def _upscaled(self, chunk: Chunk[Frame]) -> Float[Tensor, "1 3 t y x"]:
        lq = torch.stack([as_network(frame.pixels) for frame in chunk.frames], dim=1)[None]
        output = upscale_chunk(self.model, lq.to(self.model.prompt), self.tiling)
        check(output, lq, self.job.source.path, chunk.span)
        return output

    def _shrink(self, segment: Segment) -> None:
        self.tick(-self.made)
        smaller = self.tiling.smaller()
        where = f"{self.job.source.path}: out of memory at frame {segment.chunks[0].first} in tiles of {self.tiling}"
        if smaller is None:
            raise ValueError(f"{where}, and smaller ones are not made; try fewer frames, such as --tile 9x16x16")
        self.say(f"{where}; going on in tiles of {smaller}")
        self.tiling = smaller
        graphed.release(self.model)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _tiling(size: str, asked: Tiling) -> Tiling:
    """Return the tiles, asked for or smaller, that have this size."""
    tiling: Tiling | None = asked
    while tiling is not None and str(tiling) != size:
        tiling = tiling.smaller()
    if tiling is None:
        raise ValueError(f"a finished segment was made in tiles of {size}, which {asked} does not shrink to")
    return tiling


def _out_of_memory(error: BaseException) -> bool:
    """Return whether an error is that of an allocator; torch's for the CPU has no type of its own."""
    return (
        isinstance(error, (torch.OutOfMemoryError, MemoryError))
        or "not enough memory" in str(error)
        or "can't allocate memory" in str(error)
    )
