"""What an ablation is asked to do."""

from dataclasses import dataclass
from pathlib import Path

from oasis.ablations import Study
from oasis.data import builtin
from oasis.suite.settings import FRAMES, Settings
from oasis.train import stages
from oasis.train.presets import PRESETS
from oasis.train.stages import Stage

STANDARD, INCONSISTENT = "standard", "standard-inconsistent"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to study: `model` is routed and trained on (routing), or trained anew (schedule), by `stages` or the preset's.

    Seeds are 0 to `seeds` - 1. `clips` and `frames` bound the held-out built-in clips that are scored. `bf16`: matrix products
    of training in bfloat16, None as the preset says; networks are scored in float32.
    """

    study: Study
    shards: Path
    model: str = "tiny"
    preset: str = "tiny"
    stages: Path | None = None
    seeds: int = 3
    clips: int | None = None
    frames: int = FRAMES
    device: str = "cpu"
    bf16: bool | None = None

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise ValueError(f"seeds is {self.seeds}; allowed: at least 1")
        _ = self.bench  # raises ValueError where a bench would

    @property
    def bench(self) -> Settings:
        """What a bench of the same clips is asked."""
        return Settings(model=self.model, clips=self.clips, frames=self.frames, device=self.device)

    def names(self, split: builtin.Split) -> list[str]:
        """Return the built-in clips of a split that are used."""
        return self.bench.names(split)

    def plan(self) -> tuple[Stage, ...]:
        """Return the stages of every arm."""
        if self.stages is not None:
            return stages.read(self.stages)
        preset = PRESETS[self.preset]
        return preset.routed if self.study == "routing" else preset.stages

    def degradations(self) -> tuple[str, ...]:
        """Return how clips are degraded: a schedule is judged by both kinds that it mixes."""
        return (STANDARD,) if self.study == "routing" else (STANDARD, INCONSISTENT)
