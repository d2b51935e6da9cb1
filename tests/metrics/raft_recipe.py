"""RAFT with the weights of the golden recipe, as published files name them."""

import importlib.util
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor


def golden(path: Path) -> ModuleType:
    """Import golden/recipe.py."""
    spec = importlib.util.spec_from_file_location("golden_recipe", path)
    assert spec is not None and spec.loader is not None
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    return recipe


def official_state(recipe: ModuleType, shapes: dict[str, list[int]], seed: int, *, small: bool = False) -> dict[str, Tensor]:
    """Return the entries of raft-*.pth without `module.`; the norm of a shortcut is stored under two names."""
    twin = ".norm4." if small else ".norm3."
    tensors = {
        name: recipe.recipe_raft(name.replace(twin, ".downsample.1."), shape, seed, small) for name, shape in shapes.items()
    }
    return {name: torch.tensor(tensor) for name, tensor in tensors.items()}
