"""One process or several (`torchrun`): DDP replicates the network, FSDP2 shards it; a run's mathematics stay the same."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from oasis.train.objective import Objective

Parallel = Literal["ddp", "fsdp"]


@dataclass(frozen=True, kw_only=True)
class Processes:
    """This process's number, how many there are, where it computes and how they share the network."""

    rank: int = 0
    world: int = 1
    device: str = "cpu"
    parallel: Parallel = "ddp"

    @property
    def first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def wrap(self, objective: Objective) -> nn.Module:
        """Return what to call in place of `objective`; FSDP2 shards the transformer in place, once for all stages."""
        if self.world == 1:
            return objective
        if self.parallel == "ddp":
            return DistributedDataParallel(objective, device_ids=None if self.device == "cpu" else [torch.device(self.device)])
        model = objective.model
        if objective.stage.trains != "transformer":
            raise ValueError(f"stage {objective.stage.name}: fsdp shards the transformer alone; use ddp to train the decoder")
        if not isinstance(model, FSDPModule):
            # Not whole blocks: their modulation, and keys and values of the prompt, are read before any block runs.
            for block in model.dit.blocks:
                for attention in (block.self_attention, block.cross_attention):
                    for linear in (attention.query, attention.key, attention.value, attention.output):
                        fully_shard(linear)
                fully_shard(block.mlp)
            fully_shard(model, ignored_params={parameter for parameter in model.parameters() if not parameter.requires_grad})
            register_fsdp_forward_method(model, "latents")
        return objective

    def accumulating(self, module: nn.Module, last: bool) -> contextlib.AbstractContextManager[None]:
        """Return a context in which gradients are exchanged only with the last part of a batch."""
        if isinstance(module, DistributedDataParallel):
            return contextlib.nullcontext() if last else cast("contextlib.AbstractContextManager[None]", module.no_sync())
        model = cast("Objective", module).model
        if isinstance(model, FSDPModule):
            model.set_requires_gradient_sync(last)
        return contextlib.nullcontext()

    def mean(self, losses: dict[str, Tensor]) -> dict[str, float]:
        """Return losses averaged over the processes."""
        values = torch.stack([loss.detach().float() for loss in losses.values()])
        if self.world > 1:
            dist.all_reduce(values)
            values /= self.world
        return dict(zip(losses, values.tolist(), strict=True))

    def agree(self, wish: bool) -> bool:
        """Return the first process's `wish`: saving a sharded network takes all of them, and clocks differ."""
        if self.world == 1:
            return wish
        flag = torch.tensor([int(wish)], device=self.device)
        dist.broadcast(flag, 0)
        return bool(flag)


ALONE = Processes()


@contextlib.contextmanager
def processes(device: str, parallel: Parallel) -> Iterator[Processes]:
    """Join the processes that `torchrun` started, if it did; each takes the CUDA device of its local number."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Processes(device=device, parallel=parallel)
        return
    if device == "cuda":
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    dist.init_process_group("gloo" if device == "cpu" else "nccl")
    try:
        yield Processes(rank=dist.get_rank(), world=world, device=device, parallel=parallel)
    finally:
        dist.destroy_process_group()


def whole(value: Any) -> Any:
    """Return nested dictionaries and lists with every sharded tensor gathered, on the CPU; all processes must call it."""
    if isinstance(value, DTensor):
        value = value.full_tensor()
    if isinstance(value, Tensor):
        return value.detach().cpu()
    if isinstance(value, dict):
        return {name: whole(part) for name, part in value.items()}
    if isinstance(value, list):
        return [whole(part) for part in value]
    return value


def like(value: Tensor, model: Tensor) -> Tensor:
    """Return a whole tensor placed and sharded as `model` is."""
    if isinstance(model, DTensor):
        return distribute_tensor(value.to(model.device), model.device_mesh, model.placements)
    return value.to(model.device)
