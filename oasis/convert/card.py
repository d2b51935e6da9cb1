"""The card of a converted model: what it is, and that it is not trained; everything from the record of the conversion."""

import importlib.resources
from collections.abc import Mapping
from typing import Any

from oasis.configs import OasisConfig


def text(config: OasisConfig, preset: str, record: Mapping[str, Any]) -> str:
    """Return the card as Markdown, from the template beside this file and what conversion.json says."""
    template = (importlib.resources.files("oasis.convert") / "card.md").read_text(encoding="utf-8")
    return template.format(
        name=config.name,
        scale=config.scale,
        layers=config.dit.layers,
        heads=config.dit.heads,
        preset=preset,
        stored=record["dtype"],
        sha256=record["weights_sha256"],
        transformer=_files(record["transformer"]),
        vae=_files(record["vae"]),
        embedding=_embedding(record["embedding"]),
        prompt=_prompt(record["prompt"], config.dit.text_len),
        routing=" `routing.json` is a routing for these weights." if record["routing"] else "",
    )


def _files(part: Mapping[str, Any]) -> str:
    return f"{', '.join(f'`{name}`' for name in part['files'])}, whose tensors have {part['names']} names"


def _embedding(embedding: Mapping[str, Any]) -> str:
    explained = embedding["r_squared_by_latent"]
    if explained is None:
        return f"random (Xavier uniform, seed {embedding['seed']})"
    crops = embedding["crops"]
    clips = f"built-in clips and {len(crops['videos'])} videos" if crops["videos"] else "built-in clips"
    mean = sum(explained) / len(explained)
    return (
        f"Wan2.1's, behind the linear map from pixels to latents that fits {crops['count']} crops of {clips} best "
        f"(R² {mean:.2f} on average over latent channels, {min(explained):.2f} to {max(explained):.2f}, on these crops)"
    )


def _prompt(prompt: Mapping[str, Any] | None, text_len: int) -> str:
    if prompt is None:
        return f"zeros, as Wan2.1's padding: the network sees {text_len} padded tokens and no text; training learns it"
    said = f"“{prompt['text']}”" if prompt["text"] else "the empty prompt"
    return f"{said}, {prompt['tokens']} tokens embedded by UMT5"
