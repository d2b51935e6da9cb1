"""Methods side by side: that they are what they are called, are counted rightly, and one without room stops no other."""

import dataclasses
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from oasis import cost, tables
from oasis.cost import Level, attended_pairs
from oasis.grid import Grid
from oasis.routing import FRAME, GLOBAL, window
from oasis.rules import Choices, quota
from oasis.timing import networks, peers
from oasis.timing.compared import Row
from oasis.timing.found import Setting
from oasis.timing.networks import DOVE, PHASES, SMALL, SMALL_DOVE, Dove, Encoded, Network, Unshuffled
from oasis.timing.phases import TOTAL, cpu_clock
from oasis.timing.routings import THIRDS, table
from oasis.train.encoder import WanEncoder

CLIP = (9, 8, 12)
ONCE = Setting(rounds=2)
EVERY = [partial(Unshuffled, SMALL), partial(Unshuffled, SMALL, THIRDS), partial(Encoded, SMALL), partial(Dove, SMALL_DOVE)]


def made(build: Callable[[], Network]) -> Network:
    return networks.on_device(build, "cpu", torch.float32)


def lq() -> Tensor:
    return torch.rand((1, 3, *CLIP), generator=torch.Generator().manual_seed(1)) * 2 - 1


class Greedy(Unshuffled):
    """Wants a petabyte on its first call."""

    def encode(self, lq: Tensor) -> Tensor:
        return torch.empty(2**50, device=lq.device)


class Heavy(Unshuffled):
    """Wants a petabyte of weights."""

    def __init__(self) -> None:
        super().__init__(SMALL)
        self.more = nn.Linear(2**25, 2**23)


def method(name: str, build: Callable[[], Network]) -> peers.Method:
    return peers.Method(name=name, build=build, count=partial(peers.by_cost, SMALL, None), counter="oasis.cost executed")


def test_every_method_has_rows_and_they_come_back(tmp_path: Path) -> None:
    chosen = peers.methods(small=True)
    found = peers.profile(chosen, CLIP, ONCE, memory=False)
    assert [(row.method, row.phase) for row in found.rows] == [(m.name, p) for m in chosen for p in (TOTAL, *PHASES)]
    assert {(row.weights, row.size, row.device, row.note) for row in found.rows} == {("random", "9x8x12", "cpu", "")}
    assert {row.baseline for row in found.rows} == {chosen[0].name}
    for total, *steps in zip(*[iter(found.rows)] * 4, strict=True):
        assert sum(row.flops for row in steps) == total.flops > 0
        assert sum(row.p50 or 0 for row in steps) == pytest.approx(total.p50, rel=0.5)
        assert total.p50 and total.frames_per_s == 9 / total.p50
        assert total.mpx_per_s == pytest.approx(total.frames_per_s * 32 * 48 / 1e6)
        assert total.weights_mib == pytest.approx(4 * total.parameters / 2**20)
    dense, routed = (cost.levels(cost.operations(SMALL, CLIP, each)) for each in (None, table(THIRDS, SMALL.name, 2, 12)))
    ours = {(row.method, row.phase): row.flops for row in found.rows}
    for name, counted in (("oasis dense (small)", dense), ("oasis routed (small)", routed)):
        assert ours[name, TOTAL] == counted[Level("total")].executed
        assert ours[name, "transformer"] == counted[Level("dit")].executed
    assert ours["oasis routed (small)", TOTAL] < ours["oasis dense (small)", TOTAL]
    found.write(tmp_path / "new" / "rows.csv")
    rows, about = tables.read(tmp_path / "new" / "rows.csv", Row)
    assert rows == found.rows and set(about["kernels"]) == {m.name for m in chosen}
    assert all(m.name in found.table() for m in chosen)


@pytest.mark.parametrize("build", EVERY, ids=lambda build: f"{build.func.__name__}-{len(build.args)}")
def test_steps_fill_the_time_and_give_a_finite_clip_of_four_times_the_size(build: Callable[[], Network]) -> None:
    network, clip = made(build), lq()
    with torch.no_grad():
        out = network(clip)
        seconds = cpu_clock(names=PHASES)(lambda: network(clip))
    assert out.shape == (1, 3, 9, 32, 48) and out.isfinite().all() and out.std() > 0
    assert 0.8 * seconds[TOTAL] < sum(seconds[phase] for phase in PHASES) <= seconds[TOTAL]
    heads, tokens, width = network.attention(CLIP)
    seen: list[tuple[int, ...]] = []
    attention = torch.nn.functional.scaled_dot_product_attention

    def watched(q: Tensor, k: Tensor, v: Tensor, **options: object) -> Tensor:
        seen.append(tuple(q.shape))
        return attention(q, k, v, **options)

    with pytest.MonkeyPatch.context() as patched, torch.no_grad():
        patched.setattr(torch.nn.functional, "scaled_dot_product_attention", watched)
        network(clip)
    assert any(shape[-3:] in ((heads, tokens, width), (4, tokens, width)) for shape in seen)


def test_ours_step_by_step_is_the_network() -> None:
    for routing in (None, THIRDS):
        steps = made(partial(Unshuffled, SMALL, routing))
        assert isinstance(steps, Unshuffled)
        with torch.no_grad():
            assert torch.equal(steps(lq()), steps.network(lq()))
    patterns = steps.network.dit.patterns
    assert all(len(layer) == 12 and layer.count(FRAME) == 4 and len(set(layer)) == 3 for layer in patterns)


def test_routed_is_what_the_quota_rule_gives_with_equal_shares_per_layer() -> None:
    patterns = (GLOBAL, FRAME, window(8, 8))
    pairs = np.array([attended_pairs(pattern, Grid(9, 45, 80)) for pattern in patterns])
    choices = Choices(patterns=patterns, pairs=pairs, loss=np.random.default_rng(0).random((2, 12, 3)) * [0, 1, 1])
    chosen = quota(choices, {pattern.name: 4 for pattern in patterns}, per_layer=True)
    wanted = table(THIRDS, SMALL.name, 2, 12)
    for layer, heads in enumerate(chosen):
        assert sorted(patterns[head].name for head in heads) == sorted(each.name for each in wanted.layer_patterns(layer))


@pytest.mark.parametrize("routing", [None, THIRDS])
def test_two_counters_agree_on_ours(routing: str | None) -> None:
    assert peers.by_torch(partial(Unshuffled, SMALL, routing), CLIP) == peers.by_cost(SMALL, routing, CLIP)


def test_the_encoder_is_the_one_that_training_uses() -> None:
    network = made(partial(Encoded, SMALL))
    encoder = WanEncoder(SMALL.vae)
    kept = {name.removeprefix("vae."): tensor for name, tensor in network.state_dict().items() if name.startswith("vae.")}
    encoder.load_state_dict(kept)
    with torch.no_grad():
        assert torch.equal(network.encode(lq()), encoder.encode(networks._upscaled(lq(), "bicubic")))


def test_dove_is_as_large_as_published_and_costs_what_its_authors_counted(shared: Callable[[str], Path]) -> None:
    with torch.device("meta"):
        network = Dove(DOVE)
    layout = shared("golden/cogvideox_dit/names_cogvideox1.5_5b_layout_diffusers.txt").read_text().splitlines()
    assert [f"{name}\t{tuple(tensor.shape)}" for name, tensor in network.transformer.state_dict().items()] == layout
    # 5.78719 G parameters, 504.81 T multiply-adds for 33 frames of 720x1280: efficiency table, DOVE's supplementary material.
    assert round(sum(tensor.numel() for tensor in network.state_dict().values()) / 1e9, 5) == 5.78719
    counted = peers.by_torch(partial(Dove, DOVE), (33, 180, 320))[TOTAL] / 2e12
    heads, tokens, width = network.attention((33, 180, 320))
    fused_attention = 2 * DOVE.layers * heads * tokens**2 * width / 1e12
    assert counted - fused_attention == pytest.approx(504.81, rel=1e-3)  # so their counter did not see fused attention


def test_dove_takes_the_step_of_its_published_code(shared: Callable[[str], Path]) -> None:
    from diffusers import CogVideoXTransformer3DModel

    folder = shared("golden/cogvideox_dit/v1_5_rotary")
    about = json.loads((folder / "config.json").read_text())
    given, wanted = load_file(folder / "inputs.safetensors"), load_file(folder / "outputs.safetensors")
    network = Dove(dataclasses.replace(SMALL_DOVE, head_dim=16))
    network.transformer = CogVideoXTransformer3DModel(**about["CogVideoXTransformer3DModel_kwargs"])
    network.transformer.load_state_dict(load_file(folder / "weights.safetensors"))
    network.prompt = nn.Parameter(given["encoder_hidden_states"])
    with torch.no_grad():
        found = network.eval().transform(given["hidden_states"].transpose(1, 2))
    tolerance = about["tolerance_float32"]
    torch.testing.assert_close(found.transpose(1, 2), wanted["dove_x0_get_velocity"], **tolerance)


def test_a_method_without_room_says_so_and_the_others_go_on() -> None:
    chosen = [method("greedy", partial(Greedy, SMALL)), method("heavy", Heavy), method("ours", partial(Unshuffled, SMALL))]
    found = peers.profile(chosen, CLIP, ONCE, memory=False)
    greedy, heavy, *ours = found.rows
    assert (greedy.method, heavy.method) == ("greedy", "heavy")
    for row in (greedy, heavy):
        assert row.note.startswith("out of memory") and row.p50 is None and row.rounds == 0
        assert f"{row.method:28} {row.note}" in found.table()
    assert [row.phase for row in ours] == [TOTAL, *PHASES] and {row.baseline for row in found.rows} == {"ours"}
    with pytest.raises(ValueError, match="no method has room on cpu for an LQ clip of 9x8x12"):
        peers.profile(chosen[:2], CLIP, ONCE)


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    class Broken(Unshuffled):
        def encode(self, lq: Tensor) -> Tensor:
            raise RuntimeError("another reason")

    with pytest.raises(RuntimeError, match="another reason"):
        peers.profile([method("broken", partial(Broken, SMALL))], CLIP, ONCE)


@pytest.mark.parametrize("clip", [(8, 8, 8), (5, 8, 8), (9, 6, 8), (9, 8, 10)])
def test_a_clip_that_a_method_would_pad_is_refused(clip: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="allowed: 8k"):
        peers.profile(peers.methods(small=True), clip, ONCE)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_every_method_runs_on_cuda_and_knows_its_memory() -> None:
    found = peers.profile(peers.methods(small=True), CLIP, Setting(device="cuda", dtype="bfloat16", rounds=3))
    assert [row.note for row in found.rows] == [""] * 16
    assert all(row.peak_mib for row in found.rows if row.phase == TOTAL)
