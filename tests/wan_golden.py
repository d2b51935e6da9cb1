"""Cases of the shared reference outputs of Wan2.1: sizes, weights under official names, inputs and outputs."""

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from oasis.configs import DiTConfig

DIT_CASES = ("base", "odd_head", "real_dims")
VAE_CASES = ("base", "one_res_block", "real_dims")


@dataclass(frozen=True, kw_only=True)
class Case:
    config: dict[str, Any]
    to_diffusers: dict[str, str]
    weights: dict[str, Tensor]
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]


def read(folder: Path, *, skip: tuple[str, ...] = ()) -> Case:
    """Read a case; weights whose names begin with one of `skip` are left out."""
    config = json.loads((folder / "config.json").read_text())
    mapping = json.loads((folder / "mapping.json").read_text())
    if config["weights"].startswith("recipe"):
        recipe = _module(folder.parent.parent / "recipe.py")
        make = recipe.recipe_wan_vae if "vae" in folder.parent.name else recipe.recipe
        shapes = {key: shape for key, shape in mapping["shapes"].items() if not key.startswith(skip)}
        weights = {key: torch.from_numpy(make(key, shape, config["seed"])) for key, shape in shapes.items()}
    else:
        weights = {key: x for key, x in load_file(folder / "weights.safetensors").items() if not key.startswith(skip)}
    return Case(
        config=config,
        to_diffusers=mapping["official_to_diffusers"],
        weights=weights,
        inputs=load_file(folder / "inputs.safetensors"),
        outputs=load_file(folder / "outputs.safetensors"),
    )


def dit_config(model: dict[str, Any]) -> DiTConfig:
    """Return our sizes for the official constructor's arguments."""
    return DiTConfig(
        in_channels=model["in_dim"],
        out_channels=model["out_dim"],
        dim=model["dim"],
        heads=model["num_heads"],
        layers=model["num_layers"],
        ffn_dim=model["ffn_dim"],
        patch=tuple(model["patch_size"]),
        text_dim=model["text_dim"],
        text_len=model["text_len"],
        freq_dim=model["freq_dim"],
    )


def listed_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Read a list of names and shapes, one tensor to a line."""
    rows = (line.split("\t") for line in path.read_text().splitlines() if line)
    return {name: tuple(json.loads(shape.replace("(", "[").replace(",)", "]").replace(")", "]"))) for name, shape in rows}


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("golden_recipe", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
