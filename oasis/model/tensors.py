"""Tensors in files: .safetensors, whole or as shards behind an index, and torch's .pth; nothing that is read can run."""

import contextlib
import errno
import json
import os
import pickle
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from oasis import files

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
SHARD_BYTES = 5 * 10**9
"""What a file of ours holds at most; file systems and hosts of models that refuse larger ones take it."""
_INDICES, _SHARDS = "*.safetensors.index.json", re.compile(r"model-\d{5}-of-\d{5}\.safetensors")
_KINDS = ("*.safetensors", "*.pth")
_READABLE = ".safetensors, .safetensors.index.json or .pth"


def files_of(path: Path) -> list[Path]:
    """Return the files that `read` takes tensors from, an index first; ValueError if a folder leaves open which they are."""
    path = Path(path)
    if path.is_dir():
        path = _only(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    if path.name.endswith(".index.json"):
        return [path, *(path.parent / name for name in sorted(set(_read_index(path)[0].values())))]
    if path.suffix not in (".safetensors", ".pth"):
        raise ValueError(f"{path}: weights are read from {_READABLE} only, because other formats can run code")
    return [path]


def read(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a file, of the shards behind an index, or of a folder that holds one of these, by name.

    Tensors are mapped, so a file enters memory as far as it is used. A shard must hold exactly what its index says, and where
    the index names a SHA-256 (those that `write` makes), have it. FileNotFoundError and ValueError name the file.
    """
    first, *shards = files_of(path)
    if not shards:
        return _read_pth(first) if first.suffix == ".pth" else _read_safetensors(first)
    wanted, hashes = _read_index(first)
    state: dict[str, Tensor] = {}
    for shard in shards:
        if not shard.is_file():
            raise FileNotFoundError(f"{shard}: no such file, but {first.name} names it")
        if shard.name in hashes and (found := files.sha256(shard)) != hashes[shard.name]:
            raise ValueError(f"{shard}: its sha256 is {found}, but {first.name} names {hashes[shard.name]}")
        part = _read_safetensors(shard)
        named = {name for name, file in wanted.items() if file == shard.name}
        if absent := named - set(part):
            raise ValueError(f"{shard}: lacks tensor {min(absent)!r}, which {first.name} puts there")
        if unnamed := set(part) - named:
            raise ValueError(f"{shard}: holds tensor {min(unnamed)!r}, which {first.name} does not put there")
        state |= part
    return state


def sha256(path: Path) -> str:
    """Return one SHA-256 of what `read` reads: that of the file, or of the list of all files with theirs."""
    found = [(files.sha256(file), file.name) for file in files_of(path)]
    return found[0][0] if len(found) == 1 else files.sha256_of_text("".join(f"{digest}  {name}\n" for digest, name in found))


def write(folder: Path, state: Mapping[str, Tensor], dtype: torch.dtype, *, shard_bytes: int = SHARD_BYTES) -> Path:
    """Write tensors as `dtype` into a folder, as shards where they take more than `shard_bytes`; return the file to read.

    That is model.safetensors or the index, which holds the SHA-256 of every shard, so that its own hash vouches for all. One
    shard at a time is converted. ValueError names a tensor that is not finite as `dtype`.
    """
    groups = _groups({name: tensor.numel() * dtype.itemsize for name, tensor in state.items()}, shard_bytes)
    if len(groups) == 1:
        _write_safetensors(folder / WEIGHTS, {name: state[name] for name in groups[0]}, dtype)
        return folder / WEIGHTS
    names = [f"model-{number + 1:05}-of-{len(groups):05}.safetensors" for number in range(len(groups))]
    for file, group in zip(names, groups, strict=True):
        _write_safetensors(folder / file, {name: state[name] for name in group}, dtype)
    index = {
        "metadata": {
            "total_size": sum(tensor.numel() for tensor in state.values()) * dtype.itemsize,
            "sha256": {file: files.sha256(folder / file) for file in names},
        },
        "weight_map": {name: file for file, group in zip(names, groups, strict=True) for name in group},
    }
    files.write_text(folder / INDEX, json.dumps(index, indent=2) + "\n")
    return folder / INDEX


def kept(folder: Path) -> Path:
    """Return the file of a folder that `write` made and `read` takes: the index where there is one."""
    return folder / (INDEX if (folder / INDEX).is_file() else WEIGHTS)


def remove_stale(folder: Path, written: Path) -> None:
    """Remove what an earlier `write` left in a folder, now that `written` stands for its weights."""
    own = {written.name, *(_read_index(written)[0].values() if written.name == INDEX else ())}
    for path in folder.iterdir():
        if path.name not in own and (path.name in (WEIGHTS, INDEX) or _SHARDS.fullmatch(path.name)):
            path.unlink()


def refuse_not_finite(state: Mapping[str, Tensor], where: str) -> None:
    """Raise ValueError naming a tensor with NaN or infinity."""
    for name, tensor in state.items():
        if not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{where}: tensor {name!r} holds NaN or infinity as {str(tensor.dtype).removeprefix('torch.')}")


def _only(folder: Path) -> Path:
    for pattern in (_INDICES, *_KINDS):
        found = sorted(folder.glob(pattern))
        if len(found) == 1:
            return found[0]
        if found:
            raise ValueError(f"{folder}: holds {', '.join(path.name for path in found)}; name the one that is meant")
    raise FileNotFoundError(f"{folder}: no weights in this folder; looked for {_READABLE}")


def _read_index(path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Return which file holds which tensor, and the SHA-256 of files where the index names them."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not JSON ({error})") from error
    names = data.get("weight_map") if isinstance(data, dict) else None
    if not _is_texts(names) or not names:
        raise ValueError(f"{path}: field 'weight_map' must name a file for every tensor")
    metadata = data.get("metadata")
    hashes = metadata.get("sha256", {}) if isinstance(metadata, dict) else {}
    if not _is_texts(hashes):
        raise ValueError(f"{path}: field 'metadata.sha256' must name a text for every file")
    for file in names.values():
        if Path(file).name != file or not file.endswith(".safetensors"):
            raise ValueError(f"{path}: field 'weight_map' names {file!r}; allowed: .safetensors files beside it")
    return names, hashes


def _is_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path}: not a safetensors file, or cut off ({error})") from error


def _read_pth(path: Path) -> dict[str, Tensor]:
    if not zipfile.is_zipfile(path):  # older files of torch cannot be mapped
        raise ValueError(f"{path}: not a file of torch 1.6 or newer, or cut off")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise ValueError(f"{path}: holds something else than tensors, or is cut off; nothing of it was run") from error
    if not isinstance(state, dict) or not all(isinstance(name, str) and _is_plain(value) for name, value in state.items()):
        raise ValueError(f"{path}: must hold dense tensors by name and nothing else")
    return state


def _is_plain(value: Any) -> bool:
    return isinstance(value, Tensor) and value.layout is torch.strided and value.device.type == "cpu"


def _groups(sizes: Mapping[str, int], most: int) -> list[list[str]]:
    """Return the names in their order, cut where a file would become larger than `most`; a larger tensor has its own."""
    groups: list[list[str]] = [[]]
    room = most
    for name, size in sizes.items():
        if groups[-1] and size > room:
            groups.append([])
            room = most
        groups[-1].append(name)
        room -= size
    return groups


def _write_safetensors(path: Path, state: Mapping[str, Tensor], dtype: torch.dtype) -> None:
    converted = {name: tensor.to("cpu", dtype).contiguous() for name, tensor in state.items()}
    refuse_not_finite(converted, path.name)
    with files.replacing(path) as temporary, _system_errors(path):  # save_file alone leaves a file that only its owner may read
        save_file(converted, temporary)


@contextlib.contextmanager
def _system_errors(path: Path) -> Iterator[None]:
    """Let what the system says of a file (a full disk) be an OSError, which safetensors turns into text."""
    try:
        yield
    except SafetensorError as error:
        code = re.search(r"\(os error (\d+)\)", str(error))
        number = int(code[1]) if code else errno.EIO
        raise OSError(number, os.strerror(number), str(path)) from error
