"""What a bench was asked to do, and the check that a stopped one goes on with the same."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import oasis
from oasis import files
from oasis.data import builtin
from oasis.score.fingerprint import source_sha256

FRAMES = 17
ROUNDS = 5
SOURCES = (
    *("attention", "data", "degrade", "model", "upscale", "video"),
    *("decide.py", "heads.py", "probe.py", "rules.py", "tiling.py"),
    *("suite/methods.py", "suite/routings.py", "suite/single_image.py"),
)
"""What outputs and routings depend on; scores look after themselves."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The model by its name or folder; how many test clips (and training clips, for the heads), and how many frames of each."""

    model: str = "tiny"
    clips: int | None = None
    frames: int = FRAMES
    device: str = "cpu"

    def __post_init__(self) -> None:
        most = len(builtin.names("test"))
        if self.clips is not None and not 1 <= self.clips <= most:
            raise ValueError(f"clips is {self.clips}; allowed: 1 to {most}")
        if not 2 <= self.frames <= FRAMES:
            raise ValueError(f"frames is {self.frames}; allowed: 2 to {FRAMES}")

    def names(self, split: builtin.Split) -> list[str]:
        """Return the clips of a split that are used."""
        return builtin.names(split)[: self.clips]

    def check(self, work: Path, weights_sha256: str) -> None:
        """Note the settings in `work`; ValueError if it holds what other settings, code or weights made."""
        path = work / "bench.json"
        mine = asdict(self) | {
            "oasis": oasis.__version__,
            "source_sha256": source_sha256(SOURCES),
            "weights_sha256": weights_sha256,
        }
        if path.exists():
            try:
                found = json.loads(path.read_text(encoding="utf-8"))
                other = [
                    f"{name} {found.get(name)!r}, not {value!r}" for name, value in mine.items() if found.get(name) != value
                ]
            except (ValueError, AttributeError) as error:
                raise ValueError(f"{path}: not the settings of a bench ({error})") from error
            if other:
                raise ValueError(f"{work}: a bench with {'; '.join(other)} left this; remove the folder or name another")
        files.write_text(path, json.dumps(mine, indent=1) + "\n")
