"""Checkpoints: what is written comes back, and whatever does not fit is refused by name."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_models import WAN_VAE, randomised, small_oasis
from torch import Tensor

from oasis import files
from oasis.model import tensors
from oasis.model.checkpoint import load, load_decoder, load_dit, save
from oasis.model.dit import DiT
from oasis.model.naming import decoder_names, dit_names, rename
from oasis.model.oasis import Oasis
from oasis.model.wan_decoder import WanDecoder
from oasis.routing import FRAME, GLOBAL, RoutingTable, window

TABLE = RoutingTable(
    model="small", weights_sha256="", patterns={"G": GLOBAL, "F": FRAME, "W": window(2, 2)}, layers=("WGFG", "FWGW")
)


@pytest.fixture
def model() -> Oasis:
    return randomised(Oasis(small_oasis()))


@pytest.fixture
def folder(model: Oasis, tmp_path: Path) -> Path:
    save(model, tmp_path / "model", trained=True)
    return tmp_path / "model"


def edit_config(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    data = json.loads((folder / "config.json").read_text())
    change(data)
    (folder / "config.json").write_text(json.dumps(data))


def edit_weights(folder: Path, change: Callable[[dict[str, Tensor]], Any]) -> None:
    """Change the tensors, and the hash with them."""
    state = load_file(folder / "model.safetensors")
    change(state)
    save_file(state, folder / "model.safetensors")
    edit_config(folder, lambda data: data.update(weights_sha256=files.sha256(folder / "model.safetensors")))


def test_a_saved_model_comes_back_to_the_bit(model: Oasis, folder: Path) -> None:
    loaded = load(folder)
    assert loaded.model.config == model.config and loaded.trained
    assert loaded.weights_sha256 == files.sha256(folder / "model.safetensors")
    wanted = model.state_dict()
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in loaded.model.state_dict().items())
    lq = torch.rand(1, 3, 5, 4, 4)
    # Kernels may add up in another order where tensors lie at other addresses, so outputs are equal but for rounding.
    torch.testing.assert_close(loaded.model(lq), model(lq), atol=1e-5, rtol=1e-5)
    assert all(parameter.requires_grad for parameter in loaded.model.parameters())


def test_card_and_hash_are_written_and_other_files_stay(model: Oasis, folder: Path) -> None:
    (folder / "heads.csv").write_text("rows")
    digest = save(model, folder, trained=False, card="# Small\n")
    assert (folder / "README.md").read_text() == "# Small\n"
    assert (folder / "heads.csv").read_text() == "rows"
    assert load(folder).trained is False and load(folder).weights_sha256 == digest
    assert json.loads((folder / "config.json").read_text())["format"] == 1
    modes = {path.name: path.stat().st_mode for path in folder.iterdir()}
    assert modes["model.safetensors"] == modes["heads.csv"]  # readable for whom every other new file is


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_half_precision_files_load_into_the_wanted_dtype(model: Oasis, tmp_path: Path, dtype: torch.dtype) -> None:
    save(model, tmp_path / "half", trained=True, dtype=torch.float16)
    state = load(tmp_path / "half", dtype=dtype).model.state_dict()
    assert all(tensor.dtype == dtype for tensor in state.values())
    wanted = {name: tensor.half().to(dtype) for name, tensor in model.state_dict().items()}
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in state.items())


def test_a_routed_model_is_saved_with_its_heads_in_checkpoint_order(model: Oasis, folder: Path, tmp_path: Path) -> None:
    model.dit.route(TABLE)
    routed = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert save(model, tmp_path / "routed", trained=True) == files.sha256(folder / "model.safetensors")
    assert all(torch.equal(tensor, routed[name]) for name, tensor in model.state_dict().items())
    name = "dit.blocks.0.self_attention.query.weight"
    assert not torch.equal(routed[name], load(folder).model.state_dict()[name])


def test_weights_that_are_not_finite_are_neither_saved_nor_loaded(model: Oasis, folder: Path) -> None:
    before = (folder / "model.safetensors").read_bytes()
    model.dit.head.projection.bias.data[0] = 1e6
    with pytest.raises(
        ValueError, match=r"model\.safetensors: tensor 'dit\.head\.projection\.bias' holds NaN or infinity as float16"
    ):
        save(model, folder, trained=True, dtype=torch.float16)
    assert (folder / "model.safetensors").read_bytes() == before
    edit_weights(folder, lambda state: state["prompt"].fill_(torch.nan))
    with pytest.raises(ValueError, match=r"model\.safetensors: tensor 'prompt' holds NaN"):
        load(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.update(format=2), "field 'format' is 2; allowed: 1"),
        (lambda data: data.update(speed=1), "unknown field 'speed'; the fields are: name, scale, dit"),
        (lambda data: data.pop("timestep"), "missing field 'timestep'"),
        (lambda data: data.pop("trained"), "missing field 'trained'"),
        (lambda data: data.update(trained=1), "field 'trained' must be true or false, got 1"),
        (lambda data: data.update(name=3), "field 'name' must be a text, got 3"),
        (lambda data: data["dit"].update(width=3), "unknown field 'dit.width'; the fields are: in_channels"),
        (lambda data: data["dit"].pop("eps"), "missing field 'dit.eps'"),
        (lambda data: data["dit"].update(layers=True), "field 'dit.layers' must be a whole number of at least 1, got True"),
        (lambda data: data["dit"].update(heads=0), "field 'dit.heads' must be a whole number of at least 1, got 0"),
        (lambda data: data["dit"].update(heads=5), "dim must split into heads of even width, got dim=48, heads=5"),
        (lambda data: data["dit"].update(patch=[1, 2]), r"field 'dit.patch' must be a list of 3, got \[1, 2\]"),
        (lambda data: data["dit"].update(patch=[1, 2, 2.0]), "field 'dit.patch' must be a whole number of at least 1, got 2.0"),
        (lambda data: data["vae"].update(kind="flux"), "field 'vae.kind' must be wan or small or fast, got 'flux'"),
        (lambda data: data.update(vae=None), "field 'vae' must be an object, got None"),
        (lambda data: data.update(timestep=float("nan")), "field 'timestep' must be a finite number, got nan"),
        (lambda data: data.update(scale=3), "scale is 3; allowed: 1, 2, 4, 8"),
    ],
)
def test_a_configuration_is_read_strictly(folder: Path, change: Callable[[dict[str, Any]], Any], message: str) -> None:
    edit_config(folder, change)
    with pytest.raises(ValueError, match=f"config.json: {message}"):
        load(folder)


@pytest.mark.parametrize(("text", "message"), [("[1]", "must hold a JSON object, got list"), ("{", "Expecting"), ("\xff", "")])
def test_a_configuration_that_is_no_object_is_refused(folder: Path, text: str, message: str) -> None:
    (folder / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=rf"config\.json: {message}"):
        load(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("prompt"), r"1 missing \(prompt\)$"),
        (lambda state: state.update(extra=torch.zeros(1)), r"1 unexpected \(extra\)$"),
        (lambda state: state.update(prompt=torch.zeros(1, 2, 10)), r"1 misshapen \(prompt \(1, 2, 10\) for \(1, 3, 10\)\)$"),
        (lambda state: state.update(prompt=state["prompt"].char()), r"1 not of a float type \(prompt torch\.int8\)$"),
        (
            lambda state: [state.pop(name) for name in list(state) if name.startswith("dit.blocks.1.")],
            r"27 missing \(dit\.blocks\.1\.modulation, dit\.[a-z0-9._]+, dit\.[a-z0-9._]+, \.\.\.\)$",
        ),
    ],
)
def test_weights_are_read_strictly(folder: Path, change: Callable[[dict[str, Tensor]], Any], message: str) -> None:
    edit_weights(folder, change)
    with pytest.raises(ValueError, match=rf"model\.safetensors: weights do not fit: {message}"):
        load(folder)


def test_weights_of_another_hash_are_refused(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    state["prompt"] = state["prompt"] + 1
    save_file(state, folder / "model.safetensors")
    with pytest.raises(ValueError, match=r"its sha256 is [0-9a-f]{64}, but config\.json names [0-9a-f]{64}"):
        load(folder)


def test_files_that_are_not_safetensors_are_refused(folder: Path, tmp_path: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    for broken in (whole[:-9], whole[:4], b"", b"{}" * 100):
        (folder / "model.safetensors").write_bytes(broken)
        with pytest.raises(ValueError, match=r"model\.safetensors: not a safetensors file, or cut off"):
            load(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors: no such file"):
        load(folder)
    with pytest.raises(FileNotFoundError, match=r"config\.json: no such file; a model is a folder with"):
        load(tmp_path / "nothing")


@pytest.mark.parametrize("naming", ["ours", "official", "diffusers"])
def test_transformers_load_under_every_naming(model: Oasis, tmp_path: Path, naming: str) -> None:
    dit = model.dit
    theirs = rename(dit.state_dict(), dit_names(dit.config), "ours", naming)
    save_file({theirs[name]: tensor for name, tensor in dit.state_dict().items()}, tmp_path / "foreign.safetensors")
    other = randomised(DiT(dit.config), seed=9)
    load_dit(other, tensors.read(tmp_path / "foreign.safetensors"), naming)
    assert all(torch.equal(tensor, other.state_dict()[name]) for name, tensor in dit.state_dict().items())


def test_a_misfit_is_reported_under_the_names_of_the_file(model: Oasis) -> None:
    dit = model.dit
    state = {rename([name], dit_names(dit.config), "ours", "official")[name]: x for name, x in dit.state_dict().items()}
    del state["blocks.1.self_attn.norm_q.weight"]
    state["img_emb.proj.0.weight"] = torch.zeros(3)
    state["head.head.bias"] = torch.zeros(7)
    expected = (
        r"transformer with official names: weights do not fit: 1 missing \(blocks\.1\.self_attn\.norm_q\.weight\); "
        r"1 unexpected \(img_emb\.proj\.0\.weight\); 1 misshapen \(head\.head\.bias \(7,\) for \(24,\)\)$"
    )
    with pytest.raises(ValueError, match=expected):
        load_dit(dit, state, "official")
    with pytest.raises(ValueError, match="names 'comfy' are unknown; allowed: ours, official, diffusers"):
        load_dit(dit, state, "comfy")


def test_a_routed_transformer_takes_no_weights(model: Oasis) -> None:
    state = model.dit.state_dict()
    model.dit.route(TABLE)
    with pytest.raises(ValueError, match="load, then route"):
        load_dit(model.dit, state)


@pytest.mark.parametrize("naming", ["official", "diffusers"])
def test_only_the_encoder_of_a_vae_file_is_left_out(naming: str) -> None:
    decoder = randomised(WanDecoder(WAN_VAE))
    theirs = rename(decoder.state_dict(), decoder_names(decoder.config), "ours", naming)
    state = {theirs[name]: tensor for name, tensor in decoder.state_dict().items()}
    state["encoder.anything.weight"] = torch.zeros(1)
    state["conv1.weight" if naming == "official" else "quant_conv.weight"] = torch.zeros(1)
    other = randomised(WanDecoder(decoder.config), seed=9)
    load_decoder(other, state, naming)
    assert all(torch.equal(tensor, other.state_dict()[name]) for name, tensor in decoder.state_dict().items())
    state["decoder.extra.weight"] = torch.zeros(1)
    expected = rf"Wan decoder with {naming} names: weights do not fit: 1 unexpected \(decoder\.extra\.weight\)$"
    with pytest.raises(ValueError, match=expected):
        load_decoder(other, state, naming)
