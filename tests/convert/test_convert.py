"""`oasis convert`: every tensor of Wan2.1 arrives under whichever names, fitted as in training; misfits are refused."""

import errno
import json
import os
import resource
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from wan_golden import dit_config, read
from wan_sources import SMALL, diffusers, official, preset, transformer, vae_state

from oasis import convert as module
from oasis.cli import main
from oasis.configs import WAN_1_3B
from oasis.convert import Request, convert
from oasis.model import load_model, tensors
from oasis.model.checkpoint import load, load_decoder
from oasis.model.dit import DiT
from oasis.model.unshuffle import unshuffle
from oasis.model.wan_decoder import WanDecoder
from oasis.routing import FRAME, GLOBAL, RoutingTable
from oasis.train import start
from oasis.train.corpus import Clips, CropSize
from oasis.train.presets import PRESETS
from oasis.train.run import Settings
from oasis.train.start import trained

TABLE = RoutingTable(
    model=SMALL.name, weights_sha256="", patterns={"G": GLOBAL, "F": FRAME}, layers=("GF", "FG"), rule={"name": "mine"}
)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the preset be a network of a few thousand weights, and the crops few and small."""
    monkeypatch.setitem(PRESETS, "wan-1.3b", preset())
    noise = np.random.default_rng(0).integers(0, 256, (9, 64, 64, 3), dtype=np.uint8)
    monkeypatch.setattr(module, "training_clips", lambda videos, family: Clips({"noise": noise}, family))
    monkeypatch.setattr(module, "CROP", CropSize(batch=1, frames=5, height=64, width=64))
    for place in (module, start):
        monkeypatch.setattr(place, "FIT_BATCHES", 3)


@pytest.mark.parametrize("layout", [official, diffusers])
def test_every_tensor_arrives_from_either_layout(layout: Callable[[Path], Path], tmp_path: Path) -> None:
    source, out = layout(tmp_path / "wan"), tmp_path / "out"
    record = convert(Request(source=source, embedding="random"), out)
    loaded = load(out)
    assert not loaded.trained and loaded.model.config == SMALL and loaded.weights_sha256 == record["weights_sha256"]
    ours = loaded.model.state_dict()
    for name, tensor in transformer().state_dict().items():
        if not name.startswith("patch_embedding."):
            assert torch.equal(ours[f"dit.{name}"], tensor), name
    decoder = WanDecoder(SMALL.vae)
    load_decoder(decoder, vae_state(), "diffusers")
    assert all(torch.equal(ours[f"vae.{name}"], tensor) for name, tensor in decoder.state_dict().items())
    assert not ours["prompt"].any() and ours["dit.patch_embedding.weight"].std() > 0
    assert {path.name for path in out.iterdir()} == {"config.json", "model.safetensors", "conversion.json", "README.md"}
    assert json.loads((out / "conversion.json").read_text()) == record
    names = layout.__name__
    assert record["transformer"]["names"] == record["vae"]["names"] == names
    assert len(record["transformer"]["files"]) == {"official": 1, "diffusers": 3}[names]
    text = (out / "README.md").read_text()
    assert "not trained for super-resolution" in text and record["weights_sha256"] in text
    assert f"have {names} names" in text and "random (Xavier uniform, seed 2026)" in text and "{" not in text


def test_golden_outputs_survive_the_conversion(shared: Callable[[str], Path], tmp_path: Path, monkeypatch: Any) -> None:
    dit, vae = read(shared("golden/wan_dit/base")), read(shared("golden/wan_vae/base"))
    sizes = replace(dit_config(dit.config["model"]), in_channels=48)
    kwargs = vae.config["model_official_kwargs"]
    decoder = replace(SMALL.vae, width=kwargs["dim"], blocks=kwargs["num_res_blocks"])
    monkeypatch.setitem(PRESETS, "wan-1.3b", preset(replace(SMALL, dit=sizes, vae=decoder)))
    save_file(dit.weights, tmp_path / "dit.safetensors")
    torch.save(vae.weights, tmp_path / "vae.pth")
    convert(Request(source=tmp_path / "dit.safetensors", vae=tmp_path / "vae.pth", embedding="random"), tmp_path / "out")
    model = load_model(tmp_path / "out").model
    # The golden network reads latents, so it needs the one layer back that the conversion replaces.
    reading_latents = DiT(replace(sizes, in_channels=16)).eval().requires_grad_(False)
    state = model.dit.state_dict()
    state |= {f"patch_embedding.{part}": dit.weights[f"patch_embedding.{part}"] for part in ("weight", "bias")}
    reading_latents.load_state_dict(state)
    for number, timestep in enumerate(dit.inputs["t"].double()):
        condition = reading_latents.condition(timestep[None], dit.inputs[f"context_{number}"][None])
        found = reading_latents(dit.inputs["x"][number, None], condition)
        assert (found - dit.outputs["output"][number]).abs().max() < 1e-5  # the tolerance of the reference's README
    found = model.vae.decode(vae.inputs["z_normalized_5f"])
    assert (found - vae.outputs["decoded_unclamped_5f"]).abs().max() < 5e-5


def test_the_fitted_embedding_shows_the_network_what_it_knows(tmp_path: Path) -> None:
    record = convert(Request(source=official(tmp_path / "wan")), tmp_path / "out")
    again = convert(Request(source=diffusers(tmp_path / "other")), tmp_path / "again")
    assert record["weights_sha256"] == again["weights_sha256"]
    explained = record["embedding"]["r_squared_by_latent"]
    assert len(explained) == 16 and max(explained) > 0.3  # three crops of noise determine 49 numbers per latent well
    assert record["embedding"]["crops"] == {"count": 3, "size": "5x64x64", "family": "moderate", "videos": {}}
    text = (tmp_path / "out" / "README.md").read_text()
    assert "fits 3 crops of built-in clips best" in text
    # The same network from a model folder's point of view: the fit is that of `oasis train --backbone` on the same crops.
    model = load(tmp_path / "out").model
    embedding, pretrained = model.dit.patch_embedding, transformer().patch_embedding
    encoder = module.read_encoder(tmp_path / "wan" / "Wan2.1_VAE.pth", SMALL.vae)
    source = module._Encoded(module.training_clips(None, "moderate"), encoder, "cpu", module.tqdm(disable=True))
    batches = list(start._batches(source, (module.CROP,), 2026))
    seen = torch.cat([embedding(unshuffle(batch.lq, 4)) for batch in batches])
    wanted = torch.cat([pretrained(batch.latents) for batch in batches])
    assert (seen - wanted).var() < 0.9 * wanted.var()


def test_training_goes_on_from_the_folder(tmp_path: Path) -> None:
    convert(Request(source=official(tmp_path / "wan"), embedding="random"), tmp_path / "out")
    model = trained(str(tmp_path / "out"), None, PRESETS["wan-1.3b"])
    assert model.latents(torch.rand(1, 3, 1, 8, 8)).isfinite().all()
    assert Settings(preset="wan-1.3b", start=str(tmp_path / "out")).plan()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_other_dtypes_are_stored_and_round_once(tmp_path: Path, dtype: torch.dtype) -> None:
    convert(Request(source=official(tmp_path / "wan"), embedding="random", dtype=dtype), tmp_path / "out")
    stored = load_file(tmp_path / "out" / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {dtype}
    name = "blocks.1.mlp.up.weight"
    assert torch.equal(stored[f"dit.{name}"], transformer().state_dict()[name].to(dtype))


def test_a_routing_is_kept_if_it_fits(tmp_path: Path) -> None:
    source, path = official(tmp_path / "wan"), tmp_path / "table.json"

    def converted(table: RoutingTable, out: str) -> str:
        table.save(path)
        return convert(Request(source=source, embedding="random", routing=path), tmp_path / out)["weights_sha256"]

    digest = converted(TABLE, "out")
    kept = RoutingTable.load(tmp_path / "out" / "routing.json")
    assert load_model(tmp_path / "out", kept).model.dit.patterns[0] == (FRAME, GLOBAL)
    assert converted(replace(TABLE, weights_sha256=digest), "same") == digest
    with pytest.raises(ValueError, match=f"--routing is for weights {'a' * 64}, but these are {digest}"):
        converted(replace(TABLE, weights_sha256="a" * 64), "none")
    with pytest.raises(ValueError, match=r"table has 1 layers of 2 heads, the model 2 of 2"):
        converted(replace(TABLE, layers=("GF",)), "none")
    assert not (tmp_path / "none").exists()


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    pth = path.suffix == ".pth"
    state = torch.load(path) if pth else {name: tensor.clone() for name, tensor in load_file(path).items()}
    change(state)
    torch.save(state, path) if pth else save_file(state, path)


DIT, VAE = "diffusion_pytorch_model.safetensors", "Wan2.1_VAE.pth"


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        (
            DIT,
            lambda s: s.pop("blocks.1.ffn.0.bias"),
            r"transformer with official names: .* 1 missing \(blocks\.1\.ffn\.0\.bias\)",
        ),
        (DIT, lambda s: s.update(x=torch.zeros(1)), r"transformer with official names: .* 1 unexpected \(x\)$"),
        (DIT, lambda s: s.update({"head.head.bias": torch.zeros(3)}), r"1 misshapen \(head\.head\.bias \(3,\) for \(64,\)\)$"),
        (DIT, lambda s: s["blocks.0.norm3.bias"].fill_(torch.inf), "tensor 'blocks.0.norm3.bias' holds NaN or infinity"),
        (DIT, lambda s: s["patch_embedding.bias"].fill_(torch.nan), "tensor 'patch_embedding.bias' holds NaN or infinity"),
        (DIT, lambda s: s.pop("head.head.weight"), "have the names neither of Wan2.1 nor of diffusers"),
        (
            VAE,
            lambda s: s.pop("decoder.head.2.bias"),
            r"Wan decoder with official names: .* 1 missing \(decoder\.head\.2\.bias\)$",
        ),
        (VAE, lambda s: s.pop("encoder.head.2.bias"), "Wan encoder with official names: weights do not fit"),
        (VAE, lambda s: s.update({"encoder.x.bias": torch.zeros(1)}), "Wan encoder with official names: weights do not fit"),
        (VAE, lambda s: s["conv2.bias"].fill_(torch.nan), "tensor 'conv2.bias' holds NaN or infinity"),
        (VAE, lambda s: s.update(x=3), "must hold dense tensors by name and nothing else"),
    ],
)
def test_sources_that_do_not_fit_are_refused_by_name(
    tmp_path: Path, file: str, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    source = official(tmp_path / "wan")
    edit(source / file, change)
    with pytest.raises(ValueError, match=message) as caught:
        convert(Request(source=source, embedding="random"), tmp_path / "out")
    assert "wan" in str(caught.value).split(": ")[0]  # the file is named first
    assert [path.name for path in tmp_path.iterdir()] == ["wan"]


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("transformer", {"num_attention_heads": 4}, "field 'num_attention_heads' is 4, but oasis-wan-1.3b has 2"),
        ("transformer", {"patch_size": [2, 2, 2]}, r"field 'patch_size' is \[2, 2, 2\], but"),
        ("vae", {"latents_std": [1.0] * 16}, r"field 'latents_std' is \[1\.0, "),
    ],
)
def test_what_shapes_cannot_tell_is_read_from_configurations(
    tmp_path: Path, part: str, change: dict[str, Any], message: str
) -> None:
    source = diffusers(tmp_path / "wan")
    path = source / part / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=rf"{part}/config\.json: {message}"):
        convert(Request(source=source, embedding="random"), tmp_path / "out")


def test_the_command_says_what_it_found_and_refuses_in_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = diffusers(tmp_path / "wan"), tmp_path / "out"
    assert main(["convert", str(source), str(out), "--dtype", "bf16", "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert "transformer: diffusers names, diffusion_pytorch_model.safetensors.index.json, " in said
    assert "patch embedding: R^2 0." in said and said.endswith(f"{out}  bfloat16, not trained for super-resolution\n")

    def refused(*arguments: Any) -> str:
        assert main(["convert", *map(str, arguments)]) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert {path.name for path in tmp_path.iterdir()} <= {"wan", "out", "alone.safetensors"}
        return error

    new = tmp_path / "new"
    assert refused(source, out) == f"error: {out}: exists already; a converted model gets a folder of its own"
    assert "Wan encoder with official names: weights do not fit" in refused(source, new, "--names", "official")
    save_file({"head.head.weight": torch.zeros(1)}, tmp_path / "alone.safetensors")
    assert "no VAE beside the transformer" in refused(tmp_path / "alone.safetensors", new)
    assert refused(tmp_path / "none", new, "--vae", source) == f"error: {tmp_path / 'none'}: no such file"
    assert "--prompt needs --text-encoder" in refused(source, new, "--prompt", "sharp")
    assert "--embedding random looks at no clip" in refused(source, new, "--embedding", "random", "--videos", tmp_path)
    assert "--seed is -1" in refused(source, new, "--seed", "-1")


def test_names_that_are_claimed_must_be_true(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"encoder with official names: weights do not fit"):
        convert(Request(source=diffusers(tmp_path / "wan"), names="official"), tmp_path / "out")
    with pytest.raises(ValueError, match=r"encoder with diffusers names: weights do not fit"):
        convert(Request(source=official(tmp_path / "other"), names="diffusers"), tmp_path / "out")


def test_a_full_disk_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = official(tmp_path / "wan")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        status = main(["convert", str(source), str(tmp_path / "out"), "--embedding", "random"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert status == 2
    assert capsys.readouterr().err == f"error: {tmp_path / 'out'}: {os.strerror(errno.EFBIG)}\n"
    assert [path.name for path in tmp_path.iterdir()] == ["wan"]


def test_the_full_size_is_that_of_the_published_files(shared: Callable[[str], Path], monkeypatch: Any) -> None:
    from wan_golden import listed_shapes

    from oasis.model.checkpoint import dit_state

    # Strictness needs values, which are not looked at here: 1.4 billion of them would be.
    monkeypatch.setattr(tensors, "refuse_not_finite", lambda state, where: None)
    with torch.device("meta"):
        shell = DiT(replace(WAN_1_3B.dit, in_channels=16))
        for naming in ("official", "diffusers"):
            listed = listed_shapes(shared("golden/wan_dit") / f"names_wan2.1_t2v_1.3B_{naming}.txt")
            state = {name: torch.empty(shape) for name, shape in listed.items()}
            assert set(dit_state(shell, state, naming)) == set(shell.state_dict())
            del state[min(state)]
            with pytest.raises(ValueError, match=r"1 missing \("):
                dit_state(shell, state, naming)
