"""Models: built with random weights, or loaded, and routed by a table that fits."""

import dataclasses
import hashlib
import importlib.resources
from contextlib import AbstractContextManager
from pathlib import Path

import torch

from oasis.configs import PRESETS, OasisConfig
from oasis.model.checkpoint import Loaded, load
from oasis.model.oasis import Oasis
from oasis.routing import RoutingTable

__all__ = ["MODELS", "Loaded", "Oasis", "build", "load_model", "route"]

TRAINED = ("tiny", "tiny-routed")
"""Folders of trained weights in this package; the second holds those of the first, trained on with its routing."""
_OWN_ROUTING = "tiny-routed"
MODELS = (*TRAINED, *(f"random-{preset}" for preset in PRESETS))
"""What `load_model` knows by name."""
_SEED = 0


def build(config: OasisConfig, table: RoutingTable | None = None, *, weights_sha256: str | None = None) -> Oasis:
    """Return a network with random weights from torch's global generator, in eval mode, routed if a table is given.

    What constructors set to zero gets small random values, so that no path of the network is dead. The table's hash is
    compared with `weights_sha256` only if that is given.
    """
    model = Oasis(config).eval()
    for tensor in model.state_dict().values():
        if not tensor.any():
            tensor.normal_(std=0.02)
    if table is not None:
        route(model, table, weights_sha256)
    return model


def route(model: Oasis, table: RoutingTable, weights_sha256: str | None) -> None:
    """Put `table` on the model; ValueError if it belongs to another model, to other weights or to other sizes.

    `weights_sha256` is that of the model's weights; None skips this one check, for weights that were never a file.
    """
    if table.model != model.config.name:
        raise ValueError(f"the routing table is for model {table.model!r}, this is {model.config.name!r}")
    if weights_sha256 is not None and table.weights_sha256 != weights_sha256:
        raise ValueError(f"the routing table is for weights {table.weights_sha256}, these are {weights_sha256}")
    model.dit.route(table)


def load_model(source: str | Path, table: RoutingTable | None = None) -> Loaded:
    """Return a model ready for inference: eval mode, no gradients, constants folded, routed if a table is given.

    `source` is "tiny" (the trained model inside this package), "tiny-routed" (trained on with a routing, which it is put on
    unless another table is given), "random-tiny" or "random-wan-1.3b[-fast]" (seeded random weights,
    the same on every call, with the source as their name), or the folder of a checkpoint.
    """
    loaded = _load(source)
    if table is None and source == _OWN_ROUTING:
        table = packaged_routing(_OWN_ROUTING)
    if table is not None:
        route(loaded.model, table, loaded.weights_sha256)
    loaded.model.eval().requires_grad_(False)
    loaded.model.fold_constants()
    return loaded


def _load(source: str | Path) -> Loaded:
    if source in TRAINED:
        with _packaged(str(source)) as folder:
            return load(folder)
    if source in MODELS:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(_SEED)  # torch.manual_seed would seed other devices too
            model = build(dataclasses.replace(PRESETS[str(source).removeprefix("random-")], name=str(source)))
        return Loaded(model, _weights_sha256(model), trained=False)
    if not Path(source).is_dir():
        raise ValueError(f"model {str(source)!r} is unknown; allowed: {', '.join(MODELS)}, or the folder of a checkpoint")
    return load(Path(source))


def packaged_routing(name: str) -> RoutingTable:
    """Return the routing of a model in `TRAINED`."""
    with _packaged(name) as folder:
        return RoutingTable.load(folder / "routing.json")


def _packaged(name: str) -> AbstractContextManager[Path]:
    return importlib.resources.as_file(importlib.resources.files("oasis") / "assets" / name)


def _weights_sha256(model: Oasis) -> str:
    """Return a SHA-256 of names and values, for weights that were never a file."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.numpy())
    return digest.hexdigest()
