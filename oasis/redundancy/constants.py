"""What the two constants of a one-step network, prompt and timestep, contribute at all."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from oasis.model.oasis import Oasis
from oasis.redundancy.effects import Output, effect, output
from oasis.redundancy.rows import Constant
from oasis.redundancy.skips import skipped

TIMESTEPS = (0.0, 200.0, 600.0, 999.0)


def rows(
    model: Oasis,
    clip: str,
    frames: UInt8[Tensor, "t 3 h w"],
    truth: UInt8[Tensor, "t 3 y x"] | None,
    whole: Output,
    tick: Callable[[], Any],
) -> Iterator[Constant]:
    """Yield what other constants change; the model is as before when all are taken.

    Without cross-attention; with its contribution made the same for every token (a bias for each layer); with a prompt of
    padding alone; with other timesteps than the network was trained for.
    """
    changes: dict[str, contextlib.AbstractContextManager[Any]] = {
        "no cross-attention": _without_prompt(model),
        "cross-attention as a bias": _as_bias(model),
        "prompt of padding": refolded(model, prompt=torch.zeros_like(model.prompt)),
        **{f"timestep {timestep:g}": refolded(model, timestep=timestep) for timestep in TIMESTEPS},
    }
    for name, change in changes.items():
        with change:
            found = effect(whole, output(model, frames), truth)
        tick()
        yield Constant(clip=clip, change=name, **found._asdict())


COUNT = 3 + len(TIMESTEPS)


@contextlib.contextmanager
def refolded(model: Oasis, *, timestep: float | None = None, prompt: Tensor | None = None) -> Iterator[None]:
    """Give the model another timestep (0..1000) or prompt embedding until the block ends."""
    config, own = model.config, model.prompt.data
    try:
        if timestep is not None:
            model.config = dataclasses.replace(config, timestep=timestep)
        if prompt is not None:
            model.prompt.data = prompt
        model.fold_constants()
        yield
    finally:
        model.config, model.prompt.data = config, own
        model.fold_constants()


@contextlib.contextmanager
def _without_prompt(model: Oasis) -> Iterator[None]:
    with contextlib.ExitStack() as held:
        for block in model.dit.blocks:
            held.enter_context(skipped(block, "cross-attention"))
        yield


@contextlib.contextmanager
def _as_bias(model: Oasis) -> Iterator[None]:
    def averaged(_: Any, __: Any, added: Tensor) -> Tensor:
        return added.mean(1, keepdim=True).expand_as(added)

    handles = [block.cross_attention.output.register_forward_hook(averaged) for block in model.dit.blocks]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
