"""Stops a run that has gone wrong before it overwrites its last good state."""

import math
from dataclasses import asdict, dataclass

PACE = 0.05
SETTLING = 50  # steps before the average is trusted
DIVERGED, DOUBTFUL = 4.0, 1.5


@dataclass
class Watch:
    """A running average of a stage's loss and its lowest value.

    A loss that is not finite, or an average `DIVERGED` times the lowest, ends the run; above `DOUBTFUL`
    times no state is saved.
    """

    average: float = 0.0
    lowest: float = math.inf
    steps: int = 0

    def see(self, loss: float, norm: float, where: str) -> None:
        """Take in a step's loss and norm of gradients; ValueError if the run must stop."""
        for name, value in (("loss", loss), ("norm of the gradients", norm)):
            if not math.isfinite(value):
                raise ValueError(f"{where}: the {name} is {value}; the last good state is kept")
        self.steps += 1
        self.average += max(PACE, 1 / self.steps) * (loss - self.average)
        if self.steps < SETTLING:
            return
        self.lowest = min(self.lowest, self.average)
        if self.average > DIVERGED * self.lowest:
            raise ValueError(
                f"{where}: the loss has risen to {self.average:.3g}, {DIVERGED:g} times its lowest average; the run diverges "
                "(a lower learning rate may help), and the last good state is kept"
            )

    @property
    def healthy(self) -> bool:
        """Whether the present weights are worth keeping."""
        return self.steps < SETTLING or self.average <= DOUBTFUL * self.lowest

    def as_dict(self) -> dict[str, float]:
        """Return what `Watch(**...)` takes."""
        return asdict(self)
