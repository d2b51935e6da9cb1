"""The kinds of transformer that can be measured and routed, by the names of diffusers' classes."""

from collections.abc import Mapping

from oasis.adapters.cogvideox import CogVideoX
from oasis.adapters.family import Family
from oasis.adapters.wan import Wan

FAMILIES: Mapping[str, Family] = {
    "WanTransformer3DModel": Wan(),
    "WanVACETransformer3DModel": Wan(),
    "CogVideoXTransformer3DModel": CogVideoX(),
}


def family_of(name: str, where: str) -> Family:
    """Return the family of a transformer's class; ValueError lists the known ones."""
    if name not in FAMILIES:
        raise ValueError(f"{where}: transformer {name!r} has no adapter; allowed: {', '.join(FAMILIES)}")
    return FAMILIES[name]
