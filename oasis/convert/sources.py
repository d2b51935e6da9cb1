"""Where Wan2.1's transformer and VAE lie in what a user names, and whether their configurations are those of our network."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from oasis import files
from oasis.configs import OasisConfig
from oasis.model import tensors
from oasis.model.naming import Foreign, detect
from oasis.model.wan_decoder import WAN_MEAN, WAN_STD

_VAE = ("vae", "Wan2.1_VAE.pth", "Wan2.1_VAE.safetensors")
"""What the VAE is called beside a transformer: in diffusers' folders, and in the official one."""


class Part(NamedTuple):
    """A network on disk: what `tensors.read` takes, and whose names its tensors have."""

    path: Path
    names: Foreign

    def record(self) -> dict[str, Any]:
        """Return names and the SHA-256 of every file."""
        return {"names": self.names, "files": hashes(self.path)}


def find(source: Path, vae: Path | None, names: Foreign | None, config: OasisConfig) -> tuple[Part, Part]:
    """Return transformer and VAE; ValueError or FileNotFoundError if one is missing, ambiguous or of another configuration.

    `source`: the transformer's file, index or folder, or a folder with both: diffusers' (transformer/, vae/) or the official
    one (Wan2.1_VAE.pth). Without `names` the tensors tell whose names they have.
    """
    transformer = source / "transformer" if (source / "transformer").is_dir() else source
    if vae is None:
        found = [source / name for name in _VAE if (source / name).exists()]
        if not found:
            raise ValueError(f"{source}: no VAE beside the transformer, looked for {', '.join(_VAE)}; name one with --vae")
        vae = found[0]
    elif (vae / "vae").is_dir():
        vae = vae / "vae"
    for path in (transformer, vae):
        _check(tensors.files_of(path)[0].parent / "config.json", config)
    return _part(transformer, names), _part(vae, names)


def hashes(path: Path) -> dict[str, str]:
    """Return the SHA-256 of every file that `tensors.read` takes from a path, by name."""
    return {file.name: files.sha256(file) for file in tensors.files_of(path)}


def _part(path: Path, names: Foreign | None) -> Part:
    state = tensors.read(path)
    try:
        return Part(path, names or detect(state))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _check(path: Path, config: OasisConfig) -> None:
    """Refuse a configuration that differs in what shapes cannot tell, such as the number of heads."""
    if not path.is_file():
        return
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not JSON ({error})") from error
    if not isinstance(data, dict):
        raise ValueError(f"{path}: must hold a JSON object, got {type(data).__name__}")
    for field, wanted in _expected(config).get(str(data.get("_class_name")), {}).items():
        if data.get(field, wanted) != wanted:
            raise ValueError(f"{path}: field {field!r} is {data[field]!r}, but {config.name} has {wanted!r}")


def _expected(config: OasisConfig) -> Mapping[str, Mapping[str, Any]]:
    dit = config.dit
    return {
        "WanModel": {"model_type": "t2v", "num_heads": dit.heads, "eps": dit.eps, "text_len": dit.text_len},
        "WanTransformer3DModel": {
            "num_attention_heads": dit.heads,
            "eps": dit.eps,
            "patch_size": list(dit.patch),
            "cross_attn_norm": True,
            "qk_norm": "rms_norm_across_heads",
        },
        "AutoencoderKLWan": {"latents_mean": list(WAN_MEAN), "latents_std": list(WAN_STD)},
    }
