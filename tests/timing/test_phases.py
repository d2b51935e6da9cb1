import time

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from little import network

from oasis.sections import section
from oasis.timing.phases import TOTAL, cpu_clock, own

NETWORK = ["unshuffle", "dit", "dit/self-attention", "dit/cross-attention", "dit/mlp", "skip", "decoder", "bicubic"]
Tree = dict[str, "Tree"]
trees = st.recursive(st.just({}), lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=8)


class Ticks:
    """A clock that moves on by one whenever work is done."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    def run(self, tree: Tree) -> None:
        self.now += 1
        for name, inner in tree.items():
            with section(name):
                self.run(inner)
            self.now += 1


def size(tree: Tree) -> float:
    return 1 + sum(1 + size(inner) for inner in tree.values())


@given(trees)
def test_sections_nest_and_what_is_their_own_sums_to_the_total(tree: Tree) -> None:
    ticks = Ticks()
    found = cpu_clock(now=ticks)(lambda: ticks.run(tree))
    assert found[TOTAL] == size(tree)
    assert {name: found[name] for name in tree} == {name: size(inner) for name, inner in tree.items()}
    alone = own(found)
    assert sum(alone.values()) == found[TOTAL] and alone[TOTAL] == 1 + len(tree)


def test_spans_of_one_name_add_up_and_unwanted_names_are_left_out() -> None:
    ticks = Ticks()
    found = cpu_clock(now=ticks, names=("b",))(lambda: (ticks.run({"a": {"b": {}}}), ticks.run({"b": {}})))
    assert found == {TOTAL: 8, "b": 2}


def test_the_network_passes_through_its_sections_and_recording_changes_no_bit() -> None:
    model = network().requires_grad_(False)
    clip = torch.rand(1, 3, 5, 16, 24, generator=torch.Generator().manual_seed(0))
    recorded = []
    found = cpu_clock()(lambda: recorded.append(model(clip)))
    assert torch.equal(recorded[0], model(clip))
    assert list(found) == [TOTAL, *NETWORK]
    assert sum(own(found).values()) == pytest.approx(found[TOTAL])
    assert all(seconds > 0 for seconds in own(found).values())


def test_compiled_code_is_one_piece() -> None:
    model = network().requires_grad_(False)
    clip = torch.rand(1, 3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    compiled = torch.compile(model.decode, fullgraph=True, backend="eager")
    latents = model.latents(clip)
    expected = compiled(latents, clip)
    out = []
    found = cpu_clock()(lambda: out.append(compiled(latents, clip)))
    assert list(found) == [TOTAL]
    assert torch.equal(out[0], expected) and torch.equal(out[0], model.decode(latents, clip))


def test_the_default_clock_is_the_processor_s() -> None:
    assert cpu_clock()(lambda: time.sleep(0.01))[TOTAL] >= 0.01
