"""The trained models that ship inside the package: what a card says must be true of its files."""

import importlib.resources
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from oasis import decide, files, probe, profiling
from oasis.attention.masked import pattern_mask
from oasis.configs import TINY
from oasis.data import builtin
from oasis.data.clips import as_tensor
from oasis.heads import read_heads
from oasis.metrics import pixel
from oasis.model import TRAINED, Loaded, load_model
from oasis.publish import card
from oasis.publish import scores as measured
from oasis.routing import FRAME, RoutingTable, window
from oasis.train.presets import PRESETS

ASSETS = Path(str(importlib.resources.files("oasis"))) / "assets"
BOTH = pytest.mark.parametrize("name", TRAINED)


@pytest.fixture(scope="module")
def tiny() -> Loaded:
    return load_model("tiny")


@BOTH
def test_it_is_the_trained_preset(name: str) -> None:
    loaded = load_model(name)
    assert loaded.trained and loaded.model.config == TINY
    assert loaded.weights_sha256 == files.sha256(ASSETS / name / "model.safetensors")


def test_assets_are_small() -> None:
    assert sum(path.stat().st_size for path in ASSETS.rglob("*") if path.is_file()) <= 25e6


def test_statistics_and_routing_belong_to_these_weights(tiny: Loaded) -> None:
    heads, table = read_heads(ASSETS / "tiny" / "heads.csv"), RoutingTable.load(ASSETS / "tiny" / "routing.json")
    assert set(heads["weights_sha256"]) == {tiny.weights_sha256} == {table.weights_sha256}
    sha256 = files.sha256(ASSETS / "tiny" / "heads.csv")
    assert table.probe["heads_csv_sha256"] == sha256
    assert decide.decide(heads, decide.parse_rule(PRESETS["tiny"].rule), heads_csv_sha256=sha256).layers == table.layers


def test_the_routed_model_was_trained_on_the_routing_of_the_dense_one() -> None:
    routed = load_model("tiny-routed")
    dense, own = (RoutingTable.load(ASSETS / name / "routing.json") for name in TRAINED)
    assert own == replace(dense, weights_sha256=routed.weights_sha256) and routed.weights_sha256 != dense.weights_sha256
    assert own.rule["attention_flops_ratio"] <= 0.45
    assert [len(set(layer)) > 1 for layer in routed.model.dit.patterns].count(True) > 0
    assert set(read_heads(ASSETS / "tiny-routed" / "heads.csv")["weights_sha256"]) == {routed.weights_sha256}


@BOTH
def test_the_card_states_the_share_of_specialised_heads(name: str) -> None:
    share = profiling.local_share(read_heads(ASSETS / name / "heads.csv"))
    text = " ".join((ASSETS / name / "README.md").read_text().split())
    assert f"{100 * share:.0f} % of the heads have a KL below 0.7" in text


@BOTH
def test_the_card_states_the_gains_of_its_scores(name: str) -> None:
    text = (ASSETS / name / "README.md").read_text()
    scores = pd.read_csv(ASSETS / name / "scores.csv")
    for method, baseline in (("dense", "bicubic"), ("routed", "bicubic"), ("routed", "dense"), ("in-band", "bicubic")):
        for row in card._gain_rows(measured.gains(scores, method, baseline), method, baseline):
            assert row in text


@BOTH
def test_a_held_out_clip_scores_as_in_the_file(name: str) -> None:
    """One clip is upscaled and scored here and now, better than bicubic, and as the committed scores say."""
    own = "routed" if name == "tiny-routed" else "dense"
    scores = pd.read_csv(ASSETS / name / "scores.csv").set_index(["clip", "method", "measure"])["value"]
    pair = next(pair for pair in measured.held_out(None) if pair.name == "flower-turn")
    methods = {"bicubic": measured.bicubic, "in-band": measured.in_band, own: measured.by_model(load_model(name).model)}
    values = {method: pixel.psnr_y(give(pair), pair.hr) for method, give in methods.items()}
    assert values["bicubic"] + 0.5 < values[own] < values["in-band"]
    for method, value in values.items():
        assert value == pytest.approx(scores[pair.name, method, "psnr_y"], abs=0.02)


def test_float32_statistics_of_trained_layers_equal_float64_matrices(tiny: Loaded) -> None:
    """The probe's float32 path on real activations, against explicit matrices of the same queries and keys in float64."""
    frames = as_tensor(builtin.make("chelsea-zoom", frames=9).lq)[:, :, :24, :40]
    patterns = (FRAME, window(8, 8))
    rows = probe.probe(probe.Own(tiny), [("clip", frames)], patterns).heads.set_index(["layer", "head", "pattern"])
    layers: dict[int, tuple[torch.Tensor, ...]] = {}
    lq = probe.as_input(tiny.model, frames)
    with torch.inference_mode():
        tiny.model.latents(lq, probe=lambda layer, *qkv: layers.__setitem__(layer, qkv))
    grid = probe.token_grid(tiny.model, lq)
    token = torch.arange(grid.tokens)
    t, y, x = token // grid.frame, token // grid.w % grid.h, token % grid.w
    apart = ((y[:, None] - y) ** 2 + (x[:, None] - x) ** 2).double().sqrt()
    for layer in (0, 3, 7):
        query, key, _ = (tensor[0].double() for tensor in layers[layer])
        p = (query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5).softmax(-1)
        expected = {
            "entropy_mean": -(p * p.clamp_min(1e-300).log()).sum(-1).mean(-1),
            "dist_t": (p * (t[:, None] - t).abs()).sum(-1).mean(-1),
            "dist_xy": (p * apart).sum(-1).mean(-1),
            "self_mass": p.diagonal(dim1=-2, dim2=-1).mean(-1),
        }
        for pattern in patterns:
            inside = (p * pattern_mask(pattern, grid, device="cpu")).sum(-1)
            found = rows.xs((layer, pattern.name), level=("layer", "pattern")).sort_index()
            for name, values in {**expected, "kl_mean": -inside.log().mean(-1), "mass_mean": inside.mean(-1)}.items():
                np.testing.assert_allclose(found[name], values, atol=1e-4, rtol=0, err_msg=f"layer {layer}, {name}")
