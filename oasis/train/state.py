"""What a run needs to go on exactly where it was: weights, their average, the optimiser, the step."""

import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from oasis import files
from oasis.train.parallel import like, whole

FILE = "state.pt"


@dataclass(kw_only=True)
class State:
    """A place in a run; tensors are whole and on the CPU. Between stages there is neither optimiser nor average."""

    stage: int
    step: int
    seconds: float
    model: dict[str, Tensor]
    optimiser: dict[str, Any] | None = None
    average: dict[str, Tensor] = field(default_factory=dict)
    watch: dict[str, float] = field(default_factory=dict)


def save(folder: Path, state: State) -> None:
    """Write the state, whole or not at all: a full disk or a killed process leaves the one before."""
    try:
        with files.replacing(folder / FILE) as temporary, open(temporary, "wb") as file:
            torch.save(vars(state), file)
    except RuntimeError as error:  # torch hides an OSError of the file behind one of its own
        raise OSError(f"{folder / FILE}: the state could not be written ({error}); the one before is kept") from error


def load(folder: Path) -> State | None:
    """Read the state of a run that was interrupted, if there is one; never runs code from the file."""
    path = folder / FILE
    if not path.exists():
        return None
    try:
        return State(**torch.load(path, weights_only=True, map_location="cpu"))
    except (RuntimeError, EOFError, TypeError, pickle.UnpicklingError) as error:
        raise ValueError(f"{path}: not the state of a training run, or damaged ({error})") from error


def gather_optimiser(optimiser: torch.optim.Optimizer) -> dict[str, Any]:
    """Return an optimiser's state with whole tensors."""
    gathered: dict[str, Any] = whole(optimiser.state_dict())
    return gathered


def restore_optimiser(optimiser: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load what `gather_optimiser` returned, sharded as the parameters are."""
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    numbers = [number for group in state["param_groups"] for number in group["params"]]
    of = dict(zip(numbers, parameters, strict=True))
    shared = {
        number: {
            name: like(value, of[number]) if isinstance(value, Tensor) and value.shape == of[number].shape else value
            for name, value in values.items()
        }
        for number, values in state["state"].items()
    }
    optimiser.load_state_dict(state | {"state": shared})


@torch.no_grad()
def restore(module: nn.Module, state: dict[str, Tensor]) -> None:
    """Copy whole tensors into a module's, which may be sharded; names must be the same."""
    own = module.state_dict()
    if own.keys() != state.keys():
        raise ValueError("the state of the run belongs to another network")
    for name, tensor in own.items():
        tensor.copy_(like(state[name], tensor))
