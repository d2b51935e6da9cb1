"""What a card says, as data."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

Task = Literal["synthetic", "real-paired", "real-no-gt", "built-in", "own"]


class Size(NamedTuple):
    """Width and height in pixels; as text "1272x720"."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


@dataclass(frozen=True, kw_only=True)
class Clips:
    """Which clips a set has and how long they are.

    `names` is None where they are taken from the folder; `frames` is the length of each clip by name, or the lengths that
    occur where it is not known which clip has which (one length: all have it; none: nothing is known).
    """

    names: tuple[str, ...] | None
    count: int
    frames: dict[str, int] | tuple[int, ...]
    total_frames: int | None

    def lengths(self, clip: str) -> tuple[int, ...]:
        """Return the numbers of frames that `clip` may have; empty where nothing is known."""
        if isinstance(self.frames, dict):
            return (self.frames[clip],) if clip in self.frames else ()
        return self.frames


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How a copy of the set lies in its folder.

    `gt` and `lq` are places like "GT/{clip}", relative to the folder of the set; several hold the same clips (frames and a
    lossless video, say), and the first that is there is taken. `names` is not empty where clips are called otherwise here;
    `with_others` is set where clips of other sets lie beside them.
    """

    used_by: str
    gt: tuple[str, ...]
    lq: tuple[str, ...]
    names: tuple[str, ...] = ()
    with_others: bool = False
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Anchor:
    """A number that was reported for a method, with where it stands."""

    method: str
    measure: str
    value: float
    source: str


@dataclass(frozen=True, kw_only=True)
class DatasetCard:
    """A test set; the fields are those of the file and are described in datasets/README.md."""

    name: str
    title: str
    aliases: tuple[str, ...]
    task: Task
    has_gt: bool
    scale: int | None
    clips: Clips
    frame_name: str | None
    hr_size: Size | dict[str, Size] | None
    lr_size: Size | dict[str, Size] | None
    layouts: tuple[Layout, ...]
    lq_recipe: str
    source: str
    licence: str
    protocol_classic: dict[str, str]
    anchors: tuple[Anchor, ...]
    traps: tuple[str, ...]
    sha256: dict[str, str]
    uncertain: tuple[str, ...]

    def size(self, field: Literal["hr_size", "lr_size"], clip: str) -> Size | None:
        """Return the size of `clip`, None where the card does not know it."""
        sizes: Size | dict[str, Size] | None = getattr(self, field)
        return sizes.get(clip) if isinstance(sizes, dict) else sizes
