"""What a run tells while it goes: log.csv, TensorBoard, a progress bar with the time left."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from oasis import files
from oasis.train.stages import LOSSES, Stage

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

COLUMNS = ("stage", "step", "seconds", "learning_rate", "norm", "inconsistent", "loss", *LOSSES, "explained")
EVERY = 10


class Log:
    """Writes every tenth step of a stage; `step` is the first one to come, later rows of an interrupted run are dropped."""

    def __init__(self, folder: Path, stage: Stage, step: int, *, base: int) -> None:
        self.path, self.stage, self.base = folder / "log.csv", stage, base
        self._drop_from(step)
        self.board = _board(folder / "tensorboard", base + step)
        self.progress = tqdm(total=stage.steps, initial=step, desc=stage.name, unit="step", dynamic_ncols=True)

    def step(self, number: int, row: Mapping[str, float]) -> None:
        """Show a step, and write it if it is one of the tenth."""
        if number % EVERY == 0:
            whole = {"stage": self.stage.name, "step": number, **row}
            with open(self.path, "a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, COLUMNS, lineterminator="\n").writerow(
                    {name: _text(whole.get(name, "")) for name in COLUMNS}
                )
            for name, value in row.items():
                self.board.add_scalar(f"{self.stage.name}/{name}", value, self.base + number)
            self.progress.set_postfix(loss=f"{row['loss']:.4f}")
        self.progress.update()

    def close(self) -> None:
        """Finish the files."""
        self.progress.close()
        self.board.close()

    def _drop_from(self, step: int) -> None:
        rows: list[dict[str, str]] = []
        if self.path.exists():
            with open(self.path, newline="", encoding="utf-8") as file:
                rows = [row for row in csv.DictReader(file) if row["stage"] != self.stage.name or int(row["step"]) < step]
        with files.replacing(self.path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


def _board(folder: Path, step: int) -> "SummaryWriter":
    from torch.utils.tensorboard import SummaryWriter  # slow to import

    return SummaryWriter(str(folder), purge_step=step)


def _text(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value
