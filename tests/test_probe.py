"""The probe against explicit attention matrices."""

import dataclasses

import numpy as np
import pytest
import torch

from oasis import probe
from oasis.attention.masked import pattern_mask
from oasis.configs import TINY
from oasis.cost import uniform_kl
from oasis.grid import Grid
from oasis.heads import check_heads
from oasis.model import Loaded, build, load_model
from oasis.routing import FRAME, RoutingTable, parse_pattern, window

PATTERNS = (FRAME, window(2, 3), window(2, 3, shift=True), parse_pattern("sliding-r1x1"), parse_pattern("neighbour-1"))
SMALL = dataclasses.replace(
    TINY,
    name="small",
    dit=dataclasses.replace(TINY.dit, dim=48, heads=4, layers=2, ffn_dim=64),
    vae=dataclasses.replace(TINY.vae, width=8, blocks=1),
)


@pytest.fixture
def loaded() -> Loaded:
    torch.manual_seed(0)
    return Loaded(build(SMALL).double().requires_grad_(False), "0" * 64, trained=False)


def clip(t: int = 9, h: int = 9, w: int = 13) -> torch.Tensor:
    return torch.randint(0, 256, (t, 3, h, w), generator=torch.Generator().manual_seed(t), dtype=torch.uint8)


def explicit(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, grid: Grid) -> dict[str, torch.Tensor]:
    """Every statistic from the whole matrix, straight from its definition; means over queries, one value per head."""
    scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
    p = scores.softmax(-1)
    n = torch.arange(grid.tokens)
    t, y, x = n // grid.frame, n // grid.w % grid.h, n % grid.w
    apart = ((y[:, None] - y) ** 2 + (x[:, None] - x) ** 2).to(p).sqrt()
    found = {
        "entropy_mean": -(p * p.log()).sum(-1).mean((0, 2)),
        "dist_t": (p * (t[:, None] - t).abs()).sum(-1).mean((0, 2)),
        "dist_xy": (p * apart).sum(-1).mean((0, 2)),
        "self_mass": p.diagonal(dim1=-2, dim2=-1).mean((0, 2)),
    }
    for pattern in PATTERNS:
        mask = pattern_mask(pattern, grid, device="cpu")
        local = scores.masked_fill(~mask, -torch.inf).softmax(-1)
        kl = torch.where(mask, local * (local.clamp_min(1e-300).log() - p.log()), 0).sum(-1)
        error = ((p - local) @ value).square().sum((0, 2, 3)).sqrt() / (p @ value).square().sum((0, 2, 3)).sqrt()
        found[f"kl_mean {pattern.name}"] = kl.mean((0, 2))
        found[f"mass_mean {pattern.name}"] = (p * mask).sum(-1).mean((0, 2))
        found[f"out_err {pattern.name}"] = error
        for name, share in (("kl_p50", 0.5), ("kl_p95", 0.95)):
            found[f"{name} {pattern.name}"] = torch.quantile(kl.transpose(0, 1).flatten(1), share, dim=1)
    return found


def test_every_statistic_equals_the_explicit_matrix_in_float64(loaded: Loaded) -> None:
    layers = {}
    lq = probe.as_input(loaded.model, clip())
    loaded.model.latents(lq, probe=lambda layer, *qkv: layers.__setitem__(layer, qkv))
    rows = probe.probe(probe.Own(loaded), [("clip", clip())], PATTERNS).heads.set_index(["layer", "head", "pattern"])
    grid = probe.token_grid(loaded.model, lq)
    assert (grid.t, grid.h, grid.w) == (3, 5, 7)
    for layer, qkv in layers.items():
        for name, values in explicit(*qkv, grid).items():
            column, _, pattern = name.partition(" ")
            for head in range(4):
                row = rows.loc[(layer, head, pattern or "frame")]
                assert row[column] == pytest.approx(values[head].item(), abs=1e-10), (layer, head, name)


def test_rows_are_complete_and_relative_to_a_uniform_head(loaded: Loaded) -> None:
    found = probe.probe(probe.Own(loaded), [("a", clip()), ("b", clip())], PATTERNS)
    check_heads(found.heads)
    assert len(found.heads) == 2 * 2 * 4 * len(PATTERNS)
    grid = Grid(3, 5, 7)
    for pattern in PATTERNS:
        part = found.heads[found.heads["pattern"] == pattern.name]
        np.testing.assert_allclose(part["kl_rel"], part["kl_mean"] / uniform_kl(pattern, grid))
    # Over the key frames, the mass of a query frame is 1; middle query frames have every offset from -1 to 1.
    assert set(found.profiles["dt"]) == {-2, -1, 0, 1, 2}
    assert found.profiles["mass"].between(0, 1).all()


def test_uniform_attention_scores_one_relative_to_itself(loaded: Loaded) -> None:
    for block in loaded.model.dit.blocks:
        block.self_attention.query.weight.zero_()
        block.self_attention.query.bias.zero_()
    rows = probe.probe(probe.Own(loaded), [("clip", clip())], PATTERNS).heads
    np.testing.assert_allclose(rows["kl_rel"], 1, atol=1e-9)
    np.testing.assert_allclose(rows["entropy_mean"], np.log(3 * 5 * 7), atol=1e-9)


def test_the_probe_leaves_the_output_bit_identical() -> None:
    model = load_model("random-tiny").model
    lq = probe.as_input(model, clip(h=16, w=16))
    grid = probe.token_grid(model, lq)
    recorder = probe.HeadProbe(grid, PATTERNS, model.dit.head_order)
    assert torch.equal(model.latents(lq), model.latents(lq, probe=recorder))
    assert recorder.fired == list(range(8))


@pytest.mark.parametrize("fired", [[0], [0, 0], [0, 1, 1], []])
def test_a_layer_that_did_not_fire_exactly_once_is_noticed(fired: list[int]) -> None:
    recorder = probe.HeadProbe(Grid(1, 2, 2), PATTERNS, ((0,), (0,)), fired=fired)
    with pytest.raises(AssertionError, match="not once on each of 2"):
        recorder.finish()


def test_other_heads_or_tokens_are_noticed() -> None:
    recorder = probe.HeadProbe(Grid(1, 2, 2), PATTERNS, ((0, 1),), text=3)
    for heads, tokens in ((1, 7), (2, 4)):
        with pytest.raises(
            ValueError, match=rf"layer 0 attends with \(heads, tokens\) \({heads}, {tokens}\); expected \(2, 7\)"
        ):
            recorder(0, *torch.zeros(3, 1, heads, tokens, 5))


def test_nan_is_refused_with_the_layer(loaded: Loaded) -> None:
    loaded.model.dit.blocks[1].self_attention.value.bias[3] = torch.nan
    with pytest.raises(ValueError, match="layer 1: the value holds NaN"):
        probe.probe(probe.Own(loaded), [("clip", clip())], PATTERNS)


def test_a_routed_model_is_refused(loaded: Loaded) -> None:
    table = RoutingTable(model="small", weights_sha256="0" * 64, patterns={"F": FRAME}, layers=("FFFF", "FFFF"))
    loaded.model.dit.route(table)
    with pytest.raises(ValueError, match="only a dense model"):
        probe.probe(probe.Own(loaded), [("clip", clip())], PATTERNS)


def test_attention_rows_are_the_rows_of_the_matrix(loaded: Loaded) -> None:
    layers = {}
    lq = probe.as_input(loaded.model, clip())
    loaded.model.latents(lq, probe=lambda layer, *qkv: layers.__setitem__(layer, qkv))
    rows = probe.attention_rows(probe.Own(loaded), clip(), [(1, 2), (0, 3)], (1, 4, 6))
    for row, (layer, head) in zip(rows, [(1, 2), (0, 3)], strict=True):
        query, key, _ = layers[layer]
        whole = (query[0, head] @ key[0, head].T / 12**0.5).softmax(-1).view(3, 5, 7, 3, 5, 7)
        np.testing.assert_allclose(row, whole[1, 4, 6].numpy(), atol=1e-6)
    assert rows.sum(axis=(1, 2, 3)) == pytest.approx(1, abs=1e-6)
