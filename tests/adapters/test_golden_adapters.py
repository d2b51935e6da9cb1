"""Watched transformers of diffusers against reference outputs, and what the probe says of them against whole matrices."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from diffusers import CogVideoXTransformer3DModel, WanTransformer3DModel
from little_pipelines import KINDS, TEXT, forward, transformer
from safetensors.torch import load_file
from test_routed_pipelines import GRIDS, attending, text_of
from torch import Tensor, nn
from wan_golden import DIT_CASES, read

from oasis import adapters
from oasis.adapters.cogvideox import rotary_positions
from oasis.attention.masked import pattern_mask
from oasis.grid import Grid
from oasis.probe import HeadProbe
from oasis.routing import FRAME, Pattern, parse_pattern, window

Shared = Callable[[str], Path]
WAN_TOLERANCE = 6e-5  # of the references' README, for a sinusoid in float32
COG_TOLERANCE = 2e-5
COG_CASES = ("v1_0_rotary", "v1_0_sincos", "v1_5_rotary")
PATTERNS = (FRAME, window(2, 3), window(2, 2, shift=True), parse_pattern("sliding-r1x1"), parse_pattern("neighbour-1"))


@dataclass(frozen=True)
class Golden:
    model: nn.Module
    given: dict[str, Any]
    expected: Tensor
    tolerance: float
    text: int


def wan(folder: Path) -> Golden:
    case = read(folder)
    sizes = case.config["model"]
    model = WanTransformer3DModel(
        patch_size=tuple(sizes["patch_size"]),
        num_attention_heads=sizes["num_heads"],
        attention_head_dim=sizes["dim"] // sizes["num_heads"],
        in_channels=sizes["in_dim"],
        out_channels=sizes["out_dim"],
        text_dim=sizes["text_dim"],
        freq_dim=sizes["freq_dim"],
        ffn_dim=sizes["ffn_dim"],
        num_layers=sizes["num_layers"],
        eps=1e-6,
    )
    model.load_state_dict({case.to_diffusers[name]: tensor for name, tensor in case.weights.items()})
    contexts = [case.inputs[f"context_{i}"] for i in range(len(case.inputs["t"]))]
    padded = torch.stack([F.pad(context, (0, 0, 0, sizes["text_len"] - len(context))) for context in contexts])
    given = {"hidden_states": case.inputs["x"], "timestep": case.inputs["t"], "encoder_hidden_states": padded}
    return Golden(model, given, case.outputs["output"], WAN_TOLERANCE, 0)


def cogvideox(folder: Path) -> Golden:
    config = json.loads((folder / "config.json").read_text())
    model = CogVideoXTransformer3DModel(**config["CogVideoXTransformer3DModel_kwargs"])
    model.load_state_dict(load_file(folder / "weights.safetensors"))
    inputs = load_file(folder / "inputs.safetensors")
    given = {name: inputs[name] for name in ("hidden_states", "encoder_hidden_states", "timestep")}
    if "rope_cos" in inputs:
        given["image_rotary_emb"] = inputs["rope_cos"], inputs["rope_sin"]
    expected = load_file(folder / "outputs.safetensors")["output"]
    return Golden(model, given, expected, COG_TOLERANCE, given["encoder_hidden_states"].shape[1])


@pytest.fixture(params=[*(f"wan_dit/{case}" for case in DIT_CASES), *(f"cogvideox_dit/{case}" for case in COG_CASES)])
def golden(request: pytest.FixtureRequest, shared: Shared) -> Golden:
    folder = shared(f"golden/{request.param}")
    found = wan(folder) if "wan" in request.param else cogvideox(folder)
    found.model.eval().requires_grad_(False)
    return found


def test_reference_outputs_come_out_under_the_probe(golden: Golden) -> None:
    family = adapters.family_of(type(golden.model).__name__, "here")
    before = golden.model(**golden.given, return_dict=False)[0]
    grid = family.grid(golden.model, golden.given["hidden_states"].shape)
    layers = family.layers(golden.model)
    order = (tuple(range(family.heads(golden.model.config))),) * len(layers)
    recorder = HeadProbe(grid, [replace(p, text=golden.text) for p in PATTERNS], order, text=golden.text)
    with adapters.watching(golden.model, family, recorder):
        found = golden.model(**golden.given, return_dict=False)[0]
    recorder.finish()
    assert torch.equal(found, before)
    assert (found - golden.expected).abs().max() < golden.tolerance
    assert len(recorder.head_rows) == len(layers) * len(order[0]) * len(PATTERNS)
    assert {row["queries"] for row in recorder.head_rows} == {grid.tokens * len(golden.expected)}
    assert len(recorder.text_rows) == (len(layers) * len(order[0]) if golden.text else 0)


@pytest.mark.parametrize("case", ["v1_0_rotary", "v1_5_rotary"])
def test_rotary_positions_are_the_references(case: str, shared: Shared) -> None:
    found = cogvideox(shared(f"golden/cogvideox_dit/{case}"))
    config = found.model.config
    family = adapters.FAMILIES["CogVideoXTransformer3DModel"]
    grid = family.grid(found.model, found.given["hidden_states"].shape)
    for ours, theirs in zip(rotary_positions(grid, config), found.given["image_rotary_emb"], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


def explicit(q: Tensor, k: Tensor, v: Tensor, grid: Grid, patterns: Sequence[Pattern], text: int) -> dict[str, Tensor]:
    """Every statistic from the whole matrix, straight from its definition; one value per head."""
    whole = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)[:, :, text:]  # the video's queries
    video = whole[..., text:] / whole[..., text:].sum(-1, keepdim=True)  # renormalised over the video's keys
    place = torch.cartesian_prod(*(torch.arange(length, dtype=torch.float64) for length in (grid.t, grid.h, grid.w)))
    step = place[:, None] - place[None, :]
    found = {
        "entropy_mean": -(video * video.log()).sum(-1).mean((0, 2)),
        "dist_t": (video * step[..., 0].abs()).sum(-1).mean((0, 2)),
        "dist_xy": (video * step[..., 1:].square().sum(-1).sqrt()).sum(-1).mean((0, 2)),
        "self_mass": video.diagonal(dim1=-2, dim2=-1).mean((0, 2)),
        "text_mass": whole[..., :text].sum(-1).mean((0, 2)),
    }
    for pattern in patterns:
        mask = pattern_mask(pattern, grid)[text:]
        inside = (whole * mask).sum(-1, keepdim=True)
        cut = whole * mask / inside
        kl = torch.where(mask, cut * (cut / whole).log(), 0).sum(-1)
        found[f"kl_mean {pattern.name}"] = kl.mean((0, 2))
        uniform = (mask.shape[1] / mask.sum(1).double()).log().mean()
        found[f"kl_rel {pattern.name}"] = kl.mean((0, 2)) / uniform if uniform else torch.zeros(q.shape[1])
        found[f"mass_mean {pattern.name}"] = inside.mean((0, 2, 3))
        found[f"out_err {pattern.name}"] = ((whole - cut) @ v).square().sum((0, 2, 3)).sqrt() / (whole @ v).square().sum(
            (0, 2, 3)
        ).sqrt()
    for dt in range(1 - grid.t, grid.t):
        frames = video.unflatten(3, (grid.t, grid.frame)).sum(-1).unflatten(2, (grid.t, grid.frame)).mean((0, 3))
        found[f"mass {dt}"] = frames.diagonal(dt, dim1=-2, dim2=-1).mean(-1)
    return found


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("kind", KINDS)
def test_statistics_are_those_of_the_matrices_that_diffusers_makes(kind: str) -> None:
    model, given = transformer(kind).double(), forward(kind)
    grid, text = GRIDS[kind], text_of(kind)
    patterns = [replace(pattern, text=text) for pattern in PATTERNS]
    own: dict[int, tuple[Tensor, ...]] = {}
    kernel = F.scaled_dot_product_attention
    with attending(lambda layer, *qkv: own.update({layer: qkv}) or kernel(*qkv), kind):
        model(**given)
    recorder = HeadProbe(grid, patterns, (tuple(range(3)),) * len(own), text=text)
    with adapters.watching(model, adapters.family_of(type(model).__name__, "here"), recorder):
        model(**given)
    recorder.finish()
    heads = pd.DataFrame(recorder.head_rows).set_index(["layer", "head", "pattern"])
    profiles = pd.DataFrame(recorder.profile_rows).set_index(["layer", "head", "dt"])
    for layer, qkv in own.items():
        for name, values in explicit(*qkv, grid, patterns, text).items():
            column, _, which = name.partition(" ")
            for head in range(3):
                if column == "text_mass":
                    found = [r["text_mass"] for r in recorder.text_rows if (r["layer"], r["head"]) == (layer, head)] or [0.0]
                elif column == "mass":
                    found = [profiles.loc[(layer, head, int(which)), "mass"]]
                else:
                    found = [heads.loc[(layer, head, which or patterns[0].name), column]]
                assert found == pytest.approx([values[head].item()], abs=1e-10), (layer, head, name)
    assert bool(recorder.text_rows) == (text == TEXT)
