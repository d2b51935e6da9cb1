"""Models by name or folder, ready for inference, and tables that do or do not fit them."""

import dataclasses
import importlib.resources
from pathlib import Path

import pytest
import torch
from small_models import randomised, small_oasis

from oasis import files
from oasis.model import MODELS, build, load_model, route
from oasis.model.checkpoint import load, save
from oasis.model.oasis import Oasis
from oasis.routing import FRAME, GLOBAL, RoutingTable

TABLE = RoutingTable(model="small", weights_sha256="a" * 64, patterns={"F": FRAME, "G": GLOBAL}, layers=("GFGF", "FFGG"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(randomised(Oasis(small_oasis())), tmp_path / "assets" / "tiny", trained=True)
    return tmp_path / "assets" / "tiny"


def test_a_loaded_model_is_ready_for_inference(folder: Path) -> None:
    loaded = load_model(folder)
    assert not loaded.model.training
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())
    assert loaded.model._folded is not None
    lq = torch.rand(1, 3, 5, 4, 4)
    assert torch.equal(loaded.model(lq), load(folder).model(lq))


def test_a_folder_may_be_given_as_text_and_a_table_with_it(folder: Path) -> None:
    digest = load_model(str(folder)).weights_sha256
    loaded = load_model(str(folder), dataclasses.replace(TABLE, weights_sha256=digest))
    assert loaded.model.dit.patterns[0] == (FRAME, FRAME, GLOBAL, GLOBAL)
    assert files.sha256(folder / "model.safetensors") == digest  # heads move in memory, not in the mapped file
    with pytest.raises(ValueError, match="the routing table is for weights aaa"):
        load_model(folder, TABLE)


def test_the_trained_model_is_read_from_inside_the_package(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.resources, "files", lambda package: {"oasis": folder.parent.parent}[package])
    assert load_model("tiny").trained


def test_the_routed_model_is_put_on_its_own_routing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.resources, "files", lambda package: {"oasis": folder.parent.parent}[package])
    place = folder.rename(folder.with_name("tiny-routed"))
    table = dataclasses.replace(TABLE, weights_sha256=files.sha256(place / "model.safetensors"))
    table.save(place / "routing.json")
    assert load_model("tiny-routed").model.dit.patterns[1] == (FRAME, FRAME, GLOBAL, GLOBAL)
    other = dataclasses.replace(table, layers=("GGGG", "GGGF"))
    assert load_model("tiny-routed", other).model.dit.patterns[1] == (FRAME, GLOBAL, GLOBAL, GLOBAL)


def test_random_weights_are_the_same_on_every_call_and_leave_the_generator_alone() -> None:
    state = torch.random.get_rng_state()
    first, second = load_model("random-tiny"), load_model("random-tiny")
    assert torch.equal(torch.random.get_rng_state(), state)
    assert first.weights_sha256 == second.weights_sha256 and len(first.weights_sha256) == 64
    assert not first.trained and first.model.config.name == "random-tiny"
    assert all(tensor.any() for tensor in first.model.state_dict().values())
    lq = torch.rand(1, 3, 5, 8, 8)
    assert torch.equal(first.model(lq), second.model(lq)) and first.model(lq).std() > 0.01


def test_unknown_names_list_the_known_ones(tmp_path: Path) -> None:
    assert MODELS == ("tiny", "tiny-routed", "random-tiny", "random-wan-1.3b", "random-wan-1.3b-fast")
    with pytest.raises(
        ValueError,
        match=r"model 'huge' is unknown; allowed: tiny, tiny-routed, random-tiny, random-wan-1\.3b, random-wan-1\.3b-fast, or",
    ):
        load_model("huge")
    with pytest.raises(ValueError, match="is unknown; allowed: tiny"):
        load_model(tmp_path / "nothing")


def test_build_gives_random_weights_in_eval_mode_and_routes() -> None:
    assert build(small_oasis()).dit.patterns == ((GLOBAL,) * 4,) * 2
    model = build(small_oasis(), TABLE)
    assert not model.training
    assert model.dit.patterns[1] == (FRAME, FRAME, GLOBAL, GLOBAL)
    with pytest.raises(ValueError, match=f"for weights {'a' * 64}, these are {'b' * 64}"):
        build(small_oasis(), TABLE, weights_sha256="b" * 64)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "other"}, "the routing table is for model 'other', this is 'small'"),
        ({"weights_sha256": "b" * 64}, f"the routing table is for weights {'b' * 64}, these are {'a' * 64}"),
        ({"layers": ("GFGF",)}, "the routing table has 1 layers of 4 heads, the model 2 of 4"),
        ({"layers": ("GFG", "FFG")}, "the routing table has 2 layers of 3 heads, the model 2 of 4"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_and_nothing_moves(change: dict[str, object], message: str) -> None:
    model = build(small_oasis())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ValueError, match=f"^{message}$"):
        route(model, dataclasses.replace(TABLE, **change), "a" * 64)
    assert model.dit.patterns == ((GLOBAL,) * 4,) * 2
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
