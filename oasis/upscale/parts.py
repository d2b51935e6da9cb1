"""What a run has finished so far: a folder of segments beside the output, from which a stopped run goes on."""

import contextlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy import ndarray

from oasis import files
from oasis.attention import sdpa
from oasis.routing import Pattern, parse_pattern
from oasis.video.target import Target, segment_frames, write_segment

SETTINGS = "run.json"
KERNELS = "kernels.json"


@dataclass(frozen=True)
class Parts:
    """The folder `.NAME.parts` beside the output: `run.json`, `kernels.json`, and two files for every finished segment."""

    folder: Path
    suffix: str

    @classmethod
    def beside(cls, out: Path) -> "Parts":
        """Return the parts of an output."""
        return cls(folder=out.with_name(f".{out.name}.parts"), suffix=out.suffix)

    @contextlib.contextmanager
    def kept(self, say: Callable[[str], Any]) -> Iterator[None]:
        """Where the block fails, say that finished segments are kept; without any, leave no folder."""
        try:
            yield
        except BaseException:
            done = len(self.notes())
            if done:
                say(f"finished segments, {done}, are kept in {self.folder}; the command that made them goes on from there")
            else:
                self.remove()
            raise

    def agree(self, settings: Mapping[str, Any]) -> None:
        """Note the settings in a folder without segments; ValueError if it holds those of other ones."""
        path = self.folder / SETTINGS
        if not path.exists() or not self.notes():
            files.write_text(path, json.dumps(settings, indent=1, allow_nan=False) + "\n")
            return
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            other = [
                f"{name} {found.get(name)!r}, not {value!r}" for name, value in settings.items() if found.get(name) != value
            ]
        except (ValueError, AttributeError) as error:
            raise ValueError(f"{path}: not the settings of a run ({error}); remove {self.folder} to start anew") from error
        if other:
            raise ValueError(
                f"{self.folder}: a stopped run with {'; '.join(other)} left this; give its options, or remove the folder"
            )

    def choose(self, measured: Callable[[], Mapping[Pattern, str]]) -> None:
        """Note the dense backends to use in a folder without segments; those that made its segments make the others, too."""
        if not self.notes():
            names = {pattern.name: name for pattern, name in measured().items()}
            files.write_text(self.folder / KERNELS, json.dumps(names) + "\n")

    def kernels(self) -> dict[Pattern, str]:
        """Return the dense backends that were noted, by pattern."""
        path = self.folder / KERNELS
        names = json.loads(path.read_text(encoding="utf-8"))
        unknown = [name for name in names.values() if name not in sdpa.NAMES]
        if unknown:
            raise ValueError(f"{path}: no dense backend is called {unknown[0]!r}; allowed: {', '.join(sdpa.NAMES)}")
        return {parse_pattern(pattern): name for pattern, name in names.items()}

    def path(self, number: int) -> Path:
        """Where a segment lies."""
        return self.folder / f"segment-{number:06d}{self.suffix}"

    def notes(self) -> dict[int, dict[str, Any]]:
        """Return what was noted of the segments that are whole, by their numbers."""
        found = sorted(self.folder.glob("segment-*.json"))
        return {int(path.stem.removeprefix("segment-")): json.loads(path.read_text(encoding="utf-8")) for path in found}

    def whole(self) -> dict[int, dict[str, Any]]:
        """Return the notes of segments that really hold the frames noted: a machine that lost its power may have kept less."""
        return {number: note for number, note in self.notes().items() if self._holds(number, note["frames"])}

    def add(self, number: int, pictures: Iterable[ndarray], target: Target, note: Mapping[str, Any]) -> None:
        """Encode a segment, then write what is to be noted of it: the note says that the segment is whole."""
        write_segment(self.path(number), pictures, target)
        files.write_text(self._note(number), json.dumps(note) + "\n")

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder)

    def _holds(self, number: int, frames: int) -> bool:
        try:
            return segment_frames(self.path(number)) == frames
        except (ValueError, OSError):
            return False

    def _note(self, number: int) -> Path:
        return self.folder / f"segment-{number:06d}.json"
