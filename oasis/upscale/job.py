"""What is asked of a clip: where it comes from, how it is cut, and what is written."""

from dataclasses import dataclass
from pathlib import Path

from oasis.tiling import Tiling
from oasis.video.source import Source
from oasis.video.target import Target


@dataclass(frozen=True, kw_only=True)
class Job:
    """What becomes of a clip.

    The output is `scale` times as large: what the network makes larger than that is reduced again. `frames`: only so many,
    the first. `find_cuts`: no chunk holds frames of two scenes. `streams`: sound and subtitles are carried along.
    """

    source: Source
    target: Target
    out: Path
    scale: int
    tiling: Tiling
    frames: int | None = None
    find_cuts: bool = True
    streams: bool = True

    @property
    def record(self) -> Path:
        """Where the record lies: in the folder of PNG, or beside the file."""
        return Path(f"{self.out}.json") if self.out.suffix else self.out / "upscale.json"
