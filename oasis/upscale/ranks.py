"""Several processes that `torchrun` started, which share the work on a clip through one folder."""

import contextlib
import datetime
import os
from collections.abc import Iterator
from dataclasses import dataclass

import torch.distributed


@dataclass(frozen=True)
class Ranks:
    """This process's number and how many there are."""

    rank: int
    world: int

    @property
    def first(self) -> bool:
        """Whether this is the process that speaks and joins."""
        return self.rank == 0

    def wait(self) -> None:
        """Return when all processes are here."""
        if self.world > 1:
            torch.distributed.barrier()


ALONE = Ranks(rank=0, world=1)


@contextlib.contextmanager
def ranks() -> Iterator[Ranks]:
    """Join the processes that `torchrun` started, if it did."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield ALONE
        return
    # Nothing but "I am here" is exchanged, and the slowest may be hours behind.
    torch.distributed.init_process_group("gloo", timeout=datetime.timedelta(days=7))
    try:
        yield Ranks(rank=torch.distributed.get_rank(), world=world)
    finally:
        torch.distributed.destroy_process_group()
