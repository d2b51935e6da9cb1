"""What is computed once at load (constants, order of heads) against the plain network, in float64."""

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import randomised, small_dit, small_oasis
from strategies import patterns
from torch import Tensor

from oasis.model.dit import DiT
from oasis.model.oasis import Oasis
from oasis.routing import FRAME, GLOBAL, Pattern, RoutingTable, window

EXACT = 1e-10
TIMESTEP = torch.tensor([399.0], dtype=torch.float64)
few = settings(max_examples=12, deadline=None)


def noise(*shape: int, seed: int = 5, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def table_of(layers: tuple[str, ...], kinds: dict[str, Pattern]) -> RoutingTable:
    return RoutingTable(model="small", weights_sha256="0" * 64, patterns=kinds, layers=layers)


def small(seed: int = 0, **changes: object) -> DiT:
    return randomised(DiT(small_dit(**changes)).double(), seed)


@few
@given(tokens=st.integers(1, 9), batch=st.integers(1, 2))
def test_padded_prompt_collapses_into_one_key(tokens: int, batch: int) -> None:
    dit, x, context = small(), noise(batch, 12, 2, 4, 6), noise(batch, tokens, 10)
    timestep = torch.tensor([399.0, 12.5], dtype=torch.float64)[:batch]
    whole = dit.condition(timestep, F.pad(context, (0, 0, 0, 9 - tokens)), padded=0)
    collapsed = dit.condition(timestep, context)
    assert whole.key.shape[3] == 9 and collapsed.key.shape[3] == min(tokens + 1, 9)
    assert torch.allclose(dit(x, collapsed), dit(x, whole), rtol=0, atol=EXACT)


def test_the_bias_of_the_collapsed_key_matters() -> None:
    dit, x, context = small(), noise(1, 12, 2, 4, 6), noise(1, 3, 10)
    condition = dit.condition(TIMESTEP, context)
    assert not torch.allclose(dit(x, condition._replace(bias=None)), dit(x, condition), atol=1e-3)


def test_prompt_longer_than_the_text_is_refused() -> None:
    with pytest.raises(ValueError, match="the prompt has 10 tokens; allowed: at most 9"):
        small().condition(TIMESTEP, noise(1, 10, 10))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_folded_constants_change_nothing_and_follow_the_weights(dtype: torch.dtype) -> None:
    model = randomised(Oasis(small_oasis()).double())
    lq = noise(2, 3, 5, 8, 8, dtype=dtype)
    exact = model(lq.double())
    later = copy.deepcopy(model)
    model.to(dtype)
    plain = model(lq)
    model.fold_constants()
    assert plain.dtype == dtype and torch.equal(model(lq), plain)

    later.fold_constants()
    later.to(dtype)
    assert later(lq).dtype == dtype
    assert (later(lq) - exact).abs().max() <= 2 * (plain - exact).abs().max()


def test_folded_constants_are_computed_once() -> None:
    model = randomised(Oasis(small_oasis()))
    model.fold_constants()
    calls = []
    model.dit.text_embedding.register_forward_hook(lambda *_: calls.append("text"))
    model.dit.time_embedding.register_forward_hook(lambda *_: calls.append("time"))
    model(noise(1, 3, 1, 8, 8, dtype=torch.float32))
    assert calls == []


@few
@given(st.data())
def test_routed_network_equals_the_mask_on_heads_in_checkpoint_order(data: st.DataObject) -> None:
    kinds = dict(zip("ABC", data.draw(st.lists(patterns, min_size=3, max_size=3)), strict=True))
    layers = tuple(data.draw(st.lists(st.text("ABC", min_size=4, max_size=4), min_size=2, max_size=2)))
    table = table_of(layers, kinds)
    plain = small(seed=data.draw(st.integers(0, 99)))
    plain.backend = "masked"
    plain.patterns = tuple(table.layer_patterns(layer) for layer in range(2))
    routed = copy.deepcopy(plain)
    routed.backend = "folded"
    routed.route(table_of(tuple(letters[::-1] for letters in layers), kinds))  # the last table counts, whatever came before
    routed.route(table)
    found = []
    for dit in (plain, routed):
        x = noise(2, 12, 3, 6, 8).requires_grad_()
        out = dit(x, dit.condition(TIMESTEP, noise(1, 3, 10)))
        found.append([out, *torch.autograd.grad((out * noise(*out.shape, seed=6)).sum(), x)])
    for expected, actual in zip(*found, strict=True):
        assert torch.allclose(actual, expected, rtol=0, atol=EXACT)


def test_equal_patterns_become_neighbours_and_the_order_is_remembered() -> None:
    dit = small()
    before = copy.deepcopy(dit)
    dit.route(table_of(("WGFG", "GGGG"), {"G": GLOBAL, "F": FRAME, "W": window(2, 2)}))
    assert dit.patterns[0] == (FRAME, GLOBAL, GLOBAL, window(2, 2))
    assert dit.head_order == ((2, 1, 3, 0), (0, 1, 2, 3))
    rows = before.blocks[0].self_attention.key.weight.view(4, 12, 48)
    assert torch.equal(dit.blocks[0].self_attention.key.weight.view(4, 12, 48), rows[list(dit.head_order[0])])


@pytest.mark.parametrize("forgotten", ["query_norm.weight", "key_norm.weight", "query.bias", "value.weight", "output.weight"])
def test_forgetting_one_part_when_heads_move_would_show(forgotten: str) -> None:
    plain = small()
    table = table_of(("BABA", "AABB"), {"A": FRAME, "B": GLOBAL})
    plain.patterns = tuple(table.layer_patterns(layer) for layer in range(2))
    routed = copy.deepcopy(plain)
    routed.route(table)
    x, context = noise(1, 12, 3, 6, 8), noise(1, 3, 10)
    expected = plain(x, plain.condition(TIMESTEP, context))
    assert torch.allclose(routed(x, routed.condition(TIMESTEP, context)), expected, rtol=0, atol=EXACT)
    name = f"blocks.0.self_attention.{forgotten}"
    routed.state_dict()[name].copy_(plain.state_dict()[name])
    assert not torch.allclose(routed(x, routed.condition(TIMESTEP, context)), expected, atol=1e-4)


def test_probe_sees_every_layer_once_and_changes_no_bit() -> None:
    dit, x = small(), noise(1, 12, 2, 4, 6)
    condition = dit.condition(TIMESTEP, noise(1, 3, 10))
    seen = []
    probed = dit(x, condition, probe=lambda layer, q, k, v: seen.append((layer, q.shape, k.shape, v.shape)))
    assert torch.equal(probed, dit(x, condition))
    assert seen == [(layer, *3 * [(1, 4, 12, 12)]) for layer in range(2)]


def test_inputs_that_do_not_split_into_patches_are_refused() -> None:
    dit = small()
    with pytest.raises(ValueError, match=r"\(2, 3, 6\) \(t, h, w\) does not split into patches of \(1, 2, 2\)"):
        dit(noise(1, 12, 2, 3, 6), dit.condition(TIMESTEP, noise(1, 3, 10)))
