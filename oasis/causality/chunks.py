"""Work in chunks: each is whole or absent in a folder, whoever makes it, and a run that was stopped makes only the others."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import cv2
import torch
from tqdm import tqdm

from oasis import dist, files
from oasis.score.store import Store


@runtime_checkable  # jaxtyping's checker asks at run time
class Job(Protocol):
    """One chunk, by the name of its record."""

    @property
    def name(self) -> str:
        """The name, one of a file."""


Chunk = TypeVar("Chunk", bound=Job)


def finished(
    function: Callable[[Chunk], dict[str, Any]], jobs: Sequence[Chunk], folder: Path, *, workers: int, engine: dist.Engine
) -> dict[str, dict[str, Any]]:
    """Return the records of all jobs, in their order; those that `folder` lacks are made and kept there as they come."""
    store = Store(folder)
    todo = [job for job in jobs if store.get(job.name) is None]
    with tqdm(total=len(jobs), initial=len(jobs) - len(todo), desc=folder.name, unit="chunk", disable=None) as progress:
        for number, answer in dist.run(function, todo, workers=max(1, min(workers, len(todo))), engine=engine):
            if isinstance(answer, dist.Lost):
                raise ValueError(f"chunk {todo[number].name} (clip and step): {answer}")
            store.put(todo[number].name, answer)
            progress.update()
    return {job.name: store.get(job.name) or {} for job in jobs}


def keep(path: Path, about: dict[str, Any]) -> None:
    """Note in a folder of work what it is for; ValueError if it holds what another request made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mine = json.loads(json.dumps(about))
    if path.exists():
        found = json.loads(path.read_text(encoding="utf-8"))
        other = sorted(name for name in {*mine, *found} if found.get(name) != mine.get(name))
        if other:
            raise ValueError(f"{path.parent}: a run with other {', '.join(other)} left this; remove the folder or name another")
    files.write_text(path, json.dumps(mine, indent=1) + "\n")


def one_thread() -> None:
    """Compute in one thread: more add up in another order, and then the number of workers would show in the numbers."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def whole(name: str) -> str:
    """Return a path as it is called from every folder; any other name as it is."""
    return str(Path(name).absolute()) if Path(name).exists() else name
