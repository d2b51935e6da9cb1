"""Our names against complete lists of the public Wan2.1 files, and of diffusers."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from wan_golden import DIT_CASES, VAE_CASES, dit_config, listed_shapes, read

from oasis.configs import WAN_1_3B, DiTConfig, VAEConfig
from oasis.model.dit import DiT
from oasis.model.naming import ENCODER, Names, decoder_names, detect, dit_names, rename
from oasis.model.wan_decoder import WanDecoder
from oasis.train.encoder import official_name

Shared = Callable[[str], Path]
NAMINGS = ("official", "diffusers")


def renamed_shapes(module: torch.nn.Module, names: list[Names], naming: str) -> dict[str, tuple[int, ...]]:
    shapes = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    theirs = rename(shapes, names, "ours", naming)
    back = rename(theirs.values(), names, naming, "ours")
    assert {theirs[name]: name for name in shapes} == back
    return {theirs[name]: shape for name, shape in shapes.items()}


def of_the_public_model() -> DiTConfig:
    return dataclasses.replace(WAN_1_3B.dit, in_channels=16, out_channels=16)


@pytest.mark.parametrize("naming", NAMINGS)
def test_transformer_has_every_tensor_of_the_public_file(shared: Shared, naming: str) -> None:
    with torch.device("meta"):
        dit = DiT(of_the_public_model())
    found = renamed_shapes(dit, dit_names(dit.config), naming)
    assert found == listed_shapes(shared("golden/wan_dit") / f"names_wan2.1_t2v_1.3B_{naming}.txt")
    assert len(found) == 825
    assert sum(p.numel() for p in dit.parameters()) == 1_418_996_800


@pytest.mark.parametrize("naming", NAMINGS)
def test_decoder_has_every_tensor_of_the_public_file_but_the_encoder(shared: Shared, naming: str) -> None:
    with torch.device("meta"):
        decoder = WanDecoder(WAN_1_3B.vae)
    listed = listed_shapes(shared("golden/wan_vae") / f"names_wan2.1_vae_{naming}.txt")
    wanted = {name: shape for name, shape in listed.items() if not name.startswith(ENCODER[naming])}
    assert renamed_shapes(decoder, decoder_names(decoder.config), naming) == wanted
    assert len(listed) == 194 and 0 < len(wanted) < 194


def test_the_whole_file_of_the_vae_has_its_other_names(shared: Shared) -> None:
    """Decoder and encoder, each by its own table, cover every tensor of both published lists, both ways."""
    folder, names = shared("golden/wan_vae"), decoder_names(WAN_1_3B.vae)
    ours, theirs = (listed_shapes(folder / f"names_wan2.1_vae_{naming}.txt") for naming in ("diffusers", "official"))
    decoder = [name for name in ours if not name.startswith(ENCODER["diffusers"])]
    renamed = rename(decoder, names, "diffusers", "official")
    renamed |= {name: official_name(name) for name in ours if name.startswith(ENCODER["diffusers"])}
    assert {renamed[name]: shape for name, shape in ours.items()} == theirs
    assert rename([renamed[name] for name in decoder], names, "official", "diffusers") == {renamed[n]: n for n in decoder}


@pytest.mark.parametrize("lists", ["wan_dit/names_wan2.1_t2v_1.3B", "wan_vae/names_wan2.1_vae"])
@pytest.mark.parametrize("naming", NAMINGS)
def test_names_tell_whose_they_are(shared: Shared, lists: str, naming: str) -> None:
    stem = shared("golden") / lists
    assert detect(listed_shapes(stem.with_name(f"{stem.name}_{naming}.txt"))) == naming
    with pytest.raises(ValueError, match=r"have the names neither of Wan2.1 nor of diffusers"):
        detect(["blocks.0.ffn.0.weight", "encoder.conv_in.weight"])


@pytest.mark.parametrize("name", DIT_CASES)
def test_transformer_names_of_both_kinds_agree(shared: Shared, name: str) -> None:
    case = read(shared(f"golden/wan_dit/{name}"), skip=("",))
    names = dit_names(dit_config(case.config["model"]))
    assert rename(case.to_diffusers, names, "official", "diffusers") == case.to_diffusers
    back = {diffusers: official for official, diffusers in case.to_diffusers.items()}
    assert rename(back, names, "diffusers", "official") == back


@pytest.mark.parametrize("name", VAE_CASES)
def test_decoder_names_of_both_kinds_agree(shared: Shared, name: str) -> None:
    case = read(shared(f"golden/wan_vae/{name}"), skip=("",))
    sizes = case.config["model_official_kwargs"]
    names = decoder_names(VAEConfig(kind="wan", channels=16, width=sizes["dim"], blocks=sizes["num_res_blocks"]))
    pairs = {old: new for old, new in case.to_diffusers.items() if not old.startswith(ENCODER["official"])}
    assert rename(pairs, names, "official", "diffusers") == pairs
    assert rename(pairs.values(), names, "diffusers", "official") == {new: old for old, new in pairs.items()}


def test_unknown_names_are_refused() -> None:
    names = dit_names(WAN_1_3B.dit)
    with pytest.raises(ValueError, match=r"'blocks\.30\.self_attn\.q\.weight' is no official name"):
        rename(["blocks.30.self_attn.q.weight"], names, "official", "ours")
    with pytest.raises(ValueError, match="'comfy' are unknown; allowed: ours, official, diffusers"):
        rename([], names, "comfy", "ours")
