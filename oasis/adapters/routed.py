"""A routing table on a reader's own diffusers transformer, and off it again."""

from pathlib import Path
from typing import Any

from oasis.adapters.attention import Heads
from oasis.adapters.families import family_of
from oasis.adapters.watching import install, installed, remove
from oasis.attention import BACKENDS
from oasis.model import tensors
from oasis.routing import RoutingTable


def route(transformer: Any, table: RoutingTable, *, weights: Path | str | None = None, backend: str = "folded") -> None:
    """Let every self-attention head of a diffusers transformer attend by its pattern, until `unroute`.

    `weights`: the folder of the transformer's safetensors, by default the one that diffusers loaded it from. ValueError if the
    table is for other weights, other sizes or other text, if it is routed already, or if the files are not there.
    """
    name = type(transformer).__name__
    family = family_of(name, "route")
    if backend not in BACKENDS:
        raise ValueError(f"attention backend {backend!r} is unknown; allowed: {', '.join(BACKENDS)}")
    layers, heads = tuple(family.layers(transformer)), family.heads(transformer.config)
    if (len(table.layers), table.heads) != (len(layers), heads):
        raise ValueError(
            f"the routing table has {len(table.layers)} layers of {table.heads} heads, this {name} {len(layers)} of {heads}"
        )
    text = family.text(transformer.config)
    if table.text != text:
        raise ValueError(f"the routing table has {table.text} text tokens in its self-attention, this {name} {text}")
    found = tensors.sha256(_folder(transformer, weights))
    if table.weights_sha256 != found:
        raise ValueError(f"the routing table is for weights {table.weights_sha256}, these are {found}")
    patterns = tuple(table.layer_patterns(layer) for layer in range(len(layers)))
    install(transformer, family, Heads(layers=layers, patterns=patterns, backend=backend))


def unroute(transformer: Any) -> None:
    """Give a transformer its own attention back; ValueError if it is not routed."""
    heads = installed(transformer, family_of(type(transformer).__name__, "unroute"))
    if heads is None:
        raise ValueError(f"this {type(transformer).__name__} is not routed")
    remove(heads)


def _folder(transformer: Any, weights: Path | str | None) -> Path:
    """Return where a transformer's safetensors lie; a pipeline's folder stands for transformer/ in it."""
    named = weights or getattr(transformer.config, "_name_or_path", None)
    if named:
        for folder in (Path(named), Path(named) / "transformer"):
            if any(folder.glob("*.safetensors")):
                return folder
    kind = type(transformer).__name__
    raise ValueError(f"the safetensors of this {kind} are not at {named or 'a known place'}; name their folder as weights=")
