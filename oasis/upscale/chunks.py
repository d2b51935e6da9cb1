"""A clip in chunks of frames that share some with the next one, except across a cut, and their outputs joined again."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from jaxtyping import Float
from torch import Tensor

from oasis.model.feather import rising
from oasis.tiling import Tiling

_Frame = TypeVar("_Frame")


@dataclass(frozen=True, kw_only=True)
class Chunk(Generic[_Frame]):
    """Frames that the network sees together, from number `first` on.

    The chunk before holds the first `shared` of them, too, and the chunk after the last `passed_on`.
    """

    first: int
    frames: tuple[_Frame, ...]
    shared: int
    passed_on: int

    @property
    def span(self) -> range:
        """The numbers of its frames."""
        return range(self.first, self.first + len(self.frames))

    @property
    def ready(self) -> int:
        """How many frames come out when it is joined to those before."""
        return len(self.frames) - self.passed_on


def chunks(frames: Iterable[tuple[_Frame, bool]], tiling: Tiling) -> Iterator[Chunk[_Frame]]:
    """Yield the chunks of frames that come with whether they start a new scene; no chunk holds frames of two scenes.

    A chunk is complete when the first frame behind it arrives, so that the last one is known to be the last.
    """
    waiting: list[_Frame] = []
    first = shared = 0

    def complete(passed_on: int) -> Chunk[_Frame]:
        nonlocal waiting, first, shared
        chunk = Chunk(first=first, frames=tuple(waiting), shared=shared, passed_on=passed_on)
        first, shared = first + chunk.ready, passed_on
        waiting = waiting[chunk.ready :]
        return chunk

    for frame, starts_scene in frames:
        if waiting and starts_scene:
            yield complete(passed_on=0)
        elif len(waiting) == tiling.frames:
            yield complete(passed_on=tiling.overlap_frames)
        waiting.append(frame)
    if waiting:
        yield complete(passed_on=0)


class Seam:
    """Joins the outputs of chunks in their order: where two share frames, weights rise and fall linearly."""

    def __init__(self) -> None:
        self.tail: Float[Tensor, "1 3 shared y x"] | None = None

    def copy(self) -> "Seam":
        """Return a seam that joins as this one does."""
        other = Seam()
        other.tail = None if self.tail is None else self.tail.clone()
        return other

    def resume(self, chunk: Chunk, output: Float[Tensor, "1 3 t y x"]) -> None:
        """Stand where `join` of a chunk would leave the seam; what it shares with the one before never reaches its end."""
        # A copy, because a view would keep the whole chunk in memory.
        self.tail = output[:, :, chunk.ready :].clone() if chunk.passed_on else None

    def join(self, chunk: Chunk, output: Float[Tensor, "1 3 t y x"]) -> Float[Tensor, "1 3 ready y x"]:
        """Return the frames of a chunk that no later one changes, and keep the others; `output` is changed in place."""
        if chunk.shared:
            assert self.tail is not None and self.tail.shape[2] == chunk.shared
            ramp = rising(chunk.shared).to(output)[:, None, None]
            output[:, :, : chunk.shared] = self.tail * (1 - ramp) + output[:, :, : chunk.shared] * ramp
        self.resume(chunk, output)
        return output[:, :, : chunk.ready]
