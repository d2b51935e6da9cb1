"""Weights on disk: safetensors and their configuration in a folder; strict in everything, never pickle."""

import copy
import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import torch
from torch import Tensor

from oasis import files
from oasis.configs import OasisConfig
from oasis.model import tensors
from oasis.model.dit import DiT
from oasis.model.naming import ENCODER, decoder_names, dit_names, rename
from oasis.model.oasis import Oasis
from oasis.model.wan_decoder import WanDecoder

FORMAT = 1
CONFIG, CARD = "config.json", "README.md"
_DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
_LISTED = 3


class Loaded(NamedTuple):
    """A model, the SHA-256 of the weights that it was given, and whether they come from training."""

    model: Oasis
    weights_sha256: str
    trained: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Header:
    """What config.json holds beside the fields of OasisConfig."""

    format: int
    trained: bool
    weights_sha256: str


def save(
    model: Oasis,
    folder: Path,
    *,
    trained: bool,
    card: str | None = None,
    dtype: torch.dtype = torch.float32,
    shard_bytes: int = tensors.SHARD_BYTES,
) -> str:
    """Write config.json, model.safetensors and, with a `card`, README.md into `folder`; return the weights' SHA-256.

    A routed model is written with its heads in checkpoint order, so that any table can be put on it later. Weights of more
    than `shard_bytes` are written as shards; then the SHA-256 is that of their index, which holds those of all shards.
    """
    with files.replacing_folder(folder) as temporary:
        written = tensors.write(temporary, _in_checkpoint_order(model), dtype, shard_bytes=shard_bytes)
        header = _Header(format=FORMAT, trained=trained, weights_sha256=files.sha256(written))
        content = dataclasses.asdict(header) | dataclasses.asdict(model.config)
        (temporary / CONFIG).write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        if card is not None:
            (temporary / CARD).write_text(card, encoding="utf-8")
    tensors.remove_stale(folder, folder / written.name)
    return header.weights_sha256


def load(folder: Path, *, dtype: torch.dtype = torch.float32) -> Loaded:
    """Read what `save` wrote, converted to `dtype`; whatever does not fit exactly is refused by name."""
    header, config = read_config(Path(folder) / CONFIG)
    path = tensors.kept(Path(folder))
    state = tensors.read(path)
    found = files.sha256(path)
    if found != header.weights_sha256:
        raise ValueError(f"{path}: its sha256 is {found}, but config.json names {header.weights_sha256}")
    with torch.device("meta"):
        model = Oasis(config)
    _refuse_misfits({name: tensor.shape for name, tensor in model.state_dict().items()}, state, str(path))
    state = {name: tensor.to(dtype) for name, tensor in state.items()}
    tensors.refuse_not_finite(state, str(path))
    model.load_state_dict(state, assign=True)
    return Loaded(model, found, header.trained)


def load_dit(dit: DiT, state: Mapping[str, Tensor], names: str = "ours") -> None:
    """Fill a transformer from tensors named as `ours`, `official` (Wan2.1) or `diffusers`; nothing may be left over."""
    if any(order != tuple(sorted(order)) for order in dit.head_order):
        raise ValueError("weights cannot be loaded into a routed transformer, whose heads are reordered; load, then route")
    dit.load_state_dict(dit_state(dit, state, names))


def dit_state(dit: DiT, state: Mapping[str, Tensor], names: str) -> dict[str, Tensor]:
    """Return a transformer's tensors under our names, once they fit `dit` exactly, of which only the shapes matter."""
    shapes = {name: tensor.shape for name, tensor in dit.state_dict().items()}
    theirs = rename(shapes, dit_names(dit.config), "ours", names)
    return _fitting(shapes, theirs, state, f"transformer with {names} names")


def load_decoder(decoder: WanDecoder, state: Mapping[str, Tensor], names: str = "ours") -> None:
    """Fill a Wan decoder from a VAE file's tensors; the encoder's keys are left out, nothing else may be left over."""
    shapes = {name: tensor.shape for name, tensor in decoder.state_dict().items()}
    theirs = rename(shapes, decoder_names(decoder.config), "ours", names)
    state = {name: tensor for name, tensor in state.items() if not name.startswith(ENCODER.get(names, ()))}
    decoder.load_state_dict(_fitting(shapes, theirs, state, f"Wan decoder with {names} names"))


def read_config(path: Path) -> tuple[_Header, OasisConfig]:
    """Read config.json; ValueError names the file and the field that is unknown, missing or of another type."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; a model is a folder with {CONFIG} and {tensors.WEIGHTS}")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(data, dict):
            raise ValueError(f"must hold a JSON object, got {type(data).__name__}")
        outer = {field.name for field in dataclasses.fields(_Header)}
        header: _Header = _record(_Header, {name: value for name, value in data.items() if name in outer}, "")
        if header.format != FORMAT:
            raise ValueError(f"field 'format' is {header.format}; allowed: {FORMAT}")
        return header, _record(OasisConfig, {name: value for name, value in data.items() if name not in outer}, "")
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _record(kind: Any, data: Any, where: str) -> Any:
    if not isinstance(data, dict):
        raise ValueError(f"field {where.rstrip('.')!r} must be an object, got {data!r}")
    hints = get_type_hints(kind)
    for problem, names in (("unknown", set(data) - set(hints)), ("missing", set(hints) - set(data))):
        if names:
            raise ValueError(f"{problem} field {where + min(names)!r}; the fields are: {', '.join(hints)}")
    return kind(**{name: _value(hint, data[name], where + name) for name, hint in hints.items()})


def _value(kind: Any, value: Any, name: str) -> Any:
    if dataclasses.is_dataclass(kind):
        return _record(kind, value, f"{name}.")
    if get_origin(kind) is tuple:
        if not isinstance(value, list) or len(value) != len(get_args(kind)):
            raise ValueError(f"field {name!r} must be a list of {len(get_args(kind))}, got {value!r}")
        return tuple(_value(inner, item, name) for inner, item in zip(get_args(kind), value, strict=True))
    if get_origin(kind) is Literal:
        allowed, good = " or ".join(get_args(kind)), value in get_args(kind)
    elif kind is float:
        allowed, good = "a finite number", type(value) in (int, float) and math.isfinite(value)
    elif kind is int:
        allowed, good = "a whole number of at least 1", type(value) is int and value >= 1
    else:
        allowed, good = {bool: "true or false", str: "a text"}[kind], type(value) is kind
    if not good:
        raise ValueError(f"field {name!r} must be {allowed}, got {value!r}")
    return float(value) if kind is float else value


@torch.no_grad()
def _in_checkpoint_order(model: Oasis) -> dict[str, Tensor]:
    """Return the state with every layer's heads back where the checkpoint had them; the model stays as it is."""
    state = model.state_dict()
    for layer, (block, order) in enumerate(zip(model.dit.blocks, model.dit.head_order, strict=True)):
        if order == tuple(sorted(order)):
            continue
        attention = copy.deepcopy(block.self_attention)
        attention.permute_heads(tuple(order.index(head) for head in range(len(order))))
        state |= attention.state_dict(prefix=f"dit.blocks.{layer}.self_attention.")
    return state


def _fitting(
    shapes: Mapping[str, Sequence[int]], theirs: Mapping[str, str], state: Mapping[str, Tensor], where: str
) -> dict[str, Tensor]:
    """Return `state` under our names, once it fits exactly; a misfit is reported under its own name."""
    _refuse_misfits({theirs[name]: shape for name, shape in shapes.items()}, state, where)
    tensors.refuse_not_finite(state, where)
    return {name: state[theirs[name]] for name in shapes}


def _refuse_misfits(shapes: Mapping[str, Sequence[int]], state: Mapping[str, Tensor], where: str) -> None:
    both = [name for name in shapes if name in state]
    problems = {
        "missing": [name for name in shapes if name not in state],
        "unexpected": [name for name in state if name not in shapes],
        "misshapen": [
            f"{name} {tuple(state[name].shape)} for {tuple(shapes[name])}" for name in both if state[name].shape != shapes[name]
        ],
        "not of a float type": [f"{name} {state[name].dtype}" for name in both if state[name].dtype not in _DTYPES],
    }
    found = [
        f"{len(names)} {problem} ({', '.join(names[:_LISTED])}{', ...' if len(names) > _LISTED else ''})"
        for problem, names in problems.items()
        if names
    ]
    if found:
        raise ValueError(f"{where}: weights do not fit: {'; '.join(found)}")
