"""A change run from the layer where it begins against the whole forward of the network so changed, and what it says inside."""

import copy
import functools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from little import moving, network

from oasis.attention.masked import pattern_mask
from oasis.causality.changes import changes
from oasis.causality.dense import Dense, patterns_under
from oasis.causality.variants import variants
from oasis.model import route
from oasis.model.checkpoint import Loaded
from oasis.probe import Own, probe
from oasis.routing import FRAME, GLOBAL, Pattern, RoutingTable, parse_pattern, window

LAYERS, HEADS = 3, 4
FRAMES = moving(9, 12, 20)
PATTERNS = (
    FRAME,
    window(3, 4),
    window(4, 4, shift=True),
    Pattern(kind="neighbour", frames=1),
    Pattern(kind="sliding", radius=(1, 2)),
)
MODEL = network(layers=LAYERS, heads=HEADS).requires_grad_(False)
MODEL.fold_constants()
HEAD = st.tuples(st.integers(0, LAYERS - 1), st.integers(0, HEADS - 1))


@functools.cache
def kept():
    """The dense forward; made in the first test, because other tests may change the number of threads, and with it the bits."""
    return Dense(MODEL, FRAMES)


def whole(changed):
    """The latents of a whole forward of a network whose heads have the changed patterns, in the checkpoint's order."""
    model = copy.deepcopy(MODEL)
    model.dit.patterns = patterns_under(model, changed)
    with torch.inference_mode():
        return model.latents(kept().lq)


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(HEAD, st.sampled_from(PATTERNS), min_size=1, max_size=6))
def test_any_change_has_the_bits_of_a_whole_forward(changed):
    assert torch.equal(kept().changed(changed), whole(changed))


def test_the_dense_forward_is_the_networks_own_and_changes_leave_it_alone():
    before = kept().latents.clone()
    other = kept().changed({(0, 1): FRAME, (2, 3): window(2, 2)})
    assert torch.equal(whole({}), before) and torch.equal(kept().latents, before) and not torch.equal(other, before)
    assert torch.equal(kept().changed({(1, 0): GLOBAL}), before)
    clip = kept().pixels(before)
    with torch.inference_mode():
        own = MODEL(FRAMES.transpose(0, 1)[None].float() / 127.5 - 1)[0].transpose(0, 1)
    assert torch.equal(clip, (own + 1) / 2)


@pytest.mark.parametrize("kind", ["head", "pair", "layer"])
def test_a_variant_is_the_routed_network_up_to_rounding(kind):
    model = copy.deepcopy(MODEL).double()
    model.fold_constants()
    dense = Dense(model, FRAMES)
    chosen = [v for v in variants(LAYERS, HEADS, ["frame", "window-3x4"], pairs=4, seed=1) if v.kind == kind][:6]
    for variant in chosen:
        patterns = {"G": GLOBAL, "F": FRAME, "W": window(3, 4)}
        letters = {pattern.name: letter for letter, pattern in patterns.items()}
        rows = [["G"] * HEADS for _ in range(LAYERS)]
        for (layer, head), pattern in variant.changes.items():
            rows[layer][head] = letters[pattern.name]
        routed = copy.deepcopy(model)
        table = RoutingTable(model="little", weights_sha256="", patterns=patterns, layers=tuple(map("".join, rows)))
        route(routed, table, None)  # reorders the heads in the weights, so sums are added in another order
        routed.fold_constants()
        with torch.inference_mode():
            expected = routed.latents(dense.lq)
        found = dense.changed(variant.changes)
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
        assert (found - dense.latents).abs().max() > 1e-6


def test_a_routed_network_is_refused():
    model = copy.deepcopy(MODEL)
    model.dit.patterns = patterns_under(model, {(0, 0): FRAME})
    with pytest.raises(ValueError, match="only in a dense model"):
        Dense(model, FRAMES)


@pytest.mark.parametrize("name", ["frame", "window-3x4", "sliding-r1x2"])
def test_what_changes_inside_a_layer_is_the_mass_outside_times_the_way_to_the_output_outside(name):
    model = copy.deepcopy(MODEL).double()
    dense = Dense(model, FRAMES)
    layer = dense.layer(1)
    inside = pattern_mask(parse_pattern(name), dense.grid)
    scores = layer.query @ layer.key.transpose(-1, -2) / layer.query.shape[-1] ** 0.5
    p = scores.softmax(-1)
    m = (p * inside).sum(-1, keepdim=True)
    out_inside, out_outside = (p * inside) @ layer.value / m, (p * ~inside) @ layer.value / (1 - m)
    vectors = (1 - m) * (out_outside - out_inside)
    rows = list(changes(dense, "clip", 1, [name]))
    expected = vectors.square().sum(-1).mean(-1).sqrt()[0]
    torch.testing.assert_close(torch.tensor([row.out_change for row in rows], dtype=torch.float64), expected)

    block, gate = model.dit.blocks[1], dense.condition.modulation[1][2]
    tokens = dense.inputs[1].square().sum(-1).mean().sqrt()
    for row in rows:
        alone = torch.zeros_like(vectors)
        alone[:, row.head] = vectors[:, row.head]
        written = (block.self_attention.join(alone) - block.self_attention.join(torch.zeros_like(alone))) * gate
        assert row.write_change == pytest.approx(float(written.square().sum(-1).mean().sqrt() / tokens))


def test_out_change_and_the_probes_relative_error_say_the_same_of_one_head():
    loaded = Loaded(MODEL, "ab", trained=False)
    heads = probe(Own(loaded), [("clip", FRAMES)], [FRAME]).heads.set_index(["layer", "head"])
    for row in changes(kept(), "clip", 2, ["frame"]):
        full = kept().layer(2).found[:, row.head].double().square().sum(-1).mean().sqrt()
        assert row.out_change / float(full) == pytest.approx(heads.loc[(2, row.head), "out_err"], rel=1e-5)
