"""Files of tensors: what is written comes back however it is cut, and broken, foreign or hostile files are refused by name."""

import errno
import json
import os
import pickle
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from small_models import randomised, small_oasis
from torch import Tensor

from oasis import files
from oasis.model import tensors
from oasis.model.checkpoint import load, save
from oasis.model.oasis import Oasis

NAMES = st.text("abc.", min_size=1, max_size=4)
STATES = st.dictionaries(NAMES, st.lists(st.integers(0, 4), max_size=3), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(shapes=STATES, most=st.integers(1, 200), dtype=st.sampled_from([torch.float16, torch.bfloat16, torch.float32]))
def test_tensors_come_back_however_they_are_cut(
    tmp_path_factory: pytest.TempPathFactory, shapes: dict[str, list[int]], most: int, dtype: torch.dtype
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    state = {name: torch.randn(shape) for name, shape in shapes.items()}
    written = tensors.write(folder, state, dtype, shard_bytes=most)
    found = tensors.read(folder)
    assert written == tensors.kept(folder) and set(found) == set(state)
    assert all(torch.equal(found[name], state[name].to(dtype)) for name in state)
    shards = [load_file(path) for path in folder.glob("*.safetensors")]
    sizes = [sum(tensor.nbytes for tensor in shard.values()) for shard in shards]
    assert all(
        size <= most or sum(x.nbytes > 0 for x in shard.values()) == 1 for size, shard in zip(sizes, shards, strict=True)
    )
    assert (written.name == tensors.INDEX) == (len(shards) > 1)
    assert {path.name for path in tensors.files_of(folder)} == {path.name for path in folder.iterdir()}


def sharded(folder: Path) -> Path:
    folder.mkdir()
    return tensors.write(folder, {name: torch.randn(4) for name in "abc"}, torch.float32, shard_bytes=16)


SECOND = "model-00002-of-00003.safetensors"


def cut_off(index: Path) -> None:
    path = index.with_name(SECOND)
    path.write_bytes(path.read_bytes()[:-4])


def edit(index: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    data = json.loads(index.read_text())
    change(data)
    index.write_text(json.dumps(data))


def forget_hashes(index: Path) -> None:
    edit(index, lambda data: data.pop("metadata"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda index: index.with_name(SECOND).unlink(),
            rf"{SECOND}: no such file, but model\.safetensors\.index\.json names it",
        ),
        (cut_off, rf"{SECOND}: its sha256 is [0-9a-f]{{64}}, but model\.safetensors\.index\.json names"),
        (lambda index: (forget_hashes(index), cut_off(index)), rf"{SECOND}: not a safetensors file, or cut off"),
        (
            lambda index: edit(index, lambda data: data["weight_map"].update(b=SECOND.replace("2-", "1-"))),
            r"00001-of-00003\.safetensors: lacks tensor 'b', which model\.safetensors\.index\.json puts there",
        ),
        (
            lambda index: (
                forget_hashes(index),
                save_file({"b": torch.zeros(4), "x": torch.zeros(1)}, index.with_name(SECOND)),
            ),
            rf"{SECOND}: holds tensor 'x', which model\.safetensors\.index\.json does not put there",
        ),
        (
            lambda index: edit(index, lambda data: data["weight_map"].update(b="../b.safetensors")),
            "names '../b.safetensors'; allo",
        ),
        (lambda index: edit(index, lambda data: data["weight_map"].update(b="b.bin")), "names 'b.bin'; allowed: .safetensors"),
        (lambda index: edit(index, lambda data: data["weight_map"].update(b=2)), "'weight_map' must name a file for every"),
        (lambda index: edit(index, lambda data: data.update(weight_map={})), "'weight_map' must name a file for every"),
        (lambda index: edit(index, lambda data: data["metadata"].update(sha256=[])), "'metadata.sha256' must name a text"),
        (lambda index: index.write_text("[]"), "'weight_map' must name a file for every tensor"),
        (lambda index: index.write_text("{"), "model.safetensors.index.json: not JSON"),
        (lambda index: index.write_bytes(b"\xff"), "model.safetensors.index.json: not JSON"),
    ],
)
def test_shards_that_do_not_fit_their_index_are_refused(tmp_path: Path, damage: Callable[[Path], Any], message: str) -> None:
    index = sharded(tmp_path / "model")
    damage(index)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        tensors.read(index)


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.path),))


def test_a_pth_of_tensors_is_read_and_nothing_in_one_is_run(tmp_path: Path) -> None:
    state = {"a": torch.randn(3), "b": torch.randn(2, 2).t()}
    torch.save(state, tmp_path / "good.pth")
    found = tensors.read(tmp_path / "good.pth")
    assert all(torch.equal(found[name], state[name]) for name in state)
    whole = (tmp_path / "good.pth").read_bytes()
    path, boom = tmp_path / "bad.pth", tmp_path / "boom"

    def refused(message: str) -> None:
        with pytest.raises(ValueError, match=rf"bad\.pth: {message}"):
            tensors.read(path)
        assert not boom.exists()

    for contents in ({"a": Bomb(boom)}, Bomb(boom)):
        torch.save(contents, path)
        refused("holds something else than tensors, or is cut off; nothing of it was run")
    path.write_bytes(pickle.dumps(Bomb(boom)))
    refused("not a file of torch 1.6 or newer, or cut off")
    for broken in (whole[:-20], whole[:100], b""):
        path.write_bytes(broken)
        refused("not a file of torch 1.6 or newer, or cut off")
    path.write_bytes(whole.replace(b"data.pkl", b"data.txt"))
    refused("holds something else than tensors")
    for contents in ([torch.zeros(1)], {"a": 1}, {1: torch.zeros(1)}, {"a": {"b": torch.zeros(1)}}):
        torch.save(contents, path)
        refused("must hold dense tensors by name and nothing else")
    torch.save({"a": torch.zeros(1, device="meta")}, path)
    refused("must hold dense tensors")


def test_other_files_and_folders_that_leave_it_open_are_refused(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(b"")
    with pytest.raises(ValueError, match=r"weights\.bin: weights are read from \.safetensors, .* or \.pth only, because"):
        tensors.read(tmp_path / "weights.bin")
    with pytest.raises(FileNotFoundError, match="no weights in this folder; looked for"):
        tensors.read(tmp_path)
    with pytest.raises(FileNotFoundError, match="none: no such file"):
        tensors.read(tmp_path / "none")
    for name in ("a", "b"):
        save_file({name: torch.zeros(1)}, tmp_path / f"{name}.safetensors")
    with pytest.raises(ValueError, match=r"holds a\.safetensors, b\.safetensors; name the one that is meant"):
        tensors.read(tmp_path)


def test_a_hash_stands_for_all_files(tmp_path: Path) -> None:
    index = sharded(tmp_path / "model")
    assert tensors.sha256(index.with_name(SECOND)) == files.sha256(index.with_name(SECOND))
    before = tensors.sha256(index)
    assert before == tensors.sha256(index.parent)
    save_file({"b": torch.ones(4)}, index.with_name(SECOND))
    assert tensors.sha256(index) != before


@pytest.fixture
def model() -> Oasis:
    return randomised(Oasis(small_oasis()))


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return set(first) == set(second) and all(torch.equal(first[name], second[name]) for name in first)


def test_a_model_in_shards_is_the_same_model_and_replaces_one_in_a_file(model: Oasis, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    whole = save(model, folder, trained=True)
    (folder / "model-mine.safetensors").write_bytes(b"mine")
    cut = save(model, folder, trained=True, shard_bytes=40_000)
    assert cut == files.sha256(folder / tensors.INDEX) != whole
    assert not (folder / tensors.WEIGHTS).exists() and (folder / "model-mine.safetensors").read_bytes() == b"mine"
    loaded = load(folder)
    assert loaded.weights_sha256 == cut and same(loaded.model.state_dict(), model.state_dict())
    shard = min(folder.glob("model-0*.safetensors"))
    state = load_file(shard)
    save_file({name: tensor + 1 for name, tensor in state.items()}, shard)
    with pytest.raises(ValueError, match=rf"{shard.name}: its sha256 is [0-9a-f]{{64}}, but model\.safetensors\.index\.json"):
        load(folder)
    assert save(model, folder, trained=True) == whole
    assert {path.name for path in folder.iterdir()} == {"config.json", "model.safetensors", "model-mine.safetensors"}
    assert same(load(folder).model.state_dict(), model.state_dict())


@pytest.mark.parametrize("most", [tensors.SHARD_BYTES, 40_000])
def test_a_full_disk_leaves_nothing_and_is_named(model: Oasis, tmp_path: Path, most: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(OSError, match=os.strerror(errno.EFBIG)) as caught:
            save(model, tmp_path / "model", trained=True, shard_bytes=most)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.filename == str(tmp_path / "model") and caught.value.errno == errno.EFBIG
    assert list(tmp_path.iterdir()) == []
