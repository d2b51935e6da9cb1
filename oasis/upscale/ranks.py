"""Several processes that `torchrun` started, which share the work on a clip through one folder."""

import contextlib
import datetime
import os
from collections.abc import Iterator
from dataclasses import dataclass

import torch.distributed


@dataclass(frozen=True)
class Ranks:
    """This process's number and how many there are; `together` they make every segment, else each makes its own."""

    rank: int
    world: int
    together: bool = False

    @property
    def first(self) -> bool:
        """Whether this is the process that speaks and joins."""
        return self.rank == 0

    @property
    def group(self) -> torch.distributed.ProcessGroup | None:
        """Those who work together, None where each works alone."""
        return torch.distributed.group.WORLD if self.together else None

    def makes(self, number: int) -> bool:
        """Whether this process has a part in a segment."""
        return self.together or number % self.world == self.rank

    def wait(self) -> None:
        """Return when all processes are here."""
        if self.world > 1:
            torch.distributed.barrier()


ALONE = Ranks(rank=0, world=1)


@contextlib.contextmanager
def ranks(*, together: bool = False) -> Iterator[Ranks]:
    """Join the processes that `torchrun` started, if it did."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield ALONE
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    # Those who make their own segments exchange nothing but "I am here", and the slowest may be hours behind.
    wait = datetime.timedelta(minutes=10) if together else datetime.timedelta(days=7)
    torch.distributed.init_process_group(backend, timeout=wait)
    try:
        yield Ranks(rank=torch.distributed.get_rank(), world=world, together=together)
    finally:
        torch.distributed.destroy_process_group()
