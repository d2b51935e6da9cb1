"""Steps as CUDA graphs: buffers, shapes and states here with calls in the place of replays; the graphs themselves on a GPU."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from little import called_again, network
from small_models import randomised, small_oasis
from torch import Tensor

from oasis.configs import VAEConfig
from oasis.grid import Grid
from oasis.kept import holding, kept
from oasis.model import build, graphed, load_model, route
from oasis.model.graphed import Graphs, in_place, leaves, mapped
from oasis.model.layers import rotary_table
from oasis.model.oasis import Oasis
from oasis.model.unshuffle import pad_clip
from oasis.model.wan_decoder import WanDecoder
from oasis.routing import FRAME, GLOBAL, RoutingTable, window

WAN = VAEConfig(kind="wan", channels=16, width=2, blocks=1)
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return the pools that captures were given."""
    pools: list[Any] = []

    def record(function: Callable[[], Any], device: torch.device, pool: Any) -> Any:
        pools.append(pool)
        return called_again(function, device, pool)

    monkeypatch.setattr(graphed, "record", record)
    monkeypatch.setattr(graphed, "_need_cuda", lambda weight: None)
    return pools


def clip(*size: int, seed: int = 0) -> Tensor:
    return torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_a_shape_is_captured_once_and_every_call_has_its_own_result(recorded: list[Any]) -> None:
    calls = []
    step = Graphs(lambda x: calls.append(tuple(x.shape)) or 2 * x)
    inputs = [torch.full(shape, number) for number, shape in enumerate([(3,), (2, 2), (3,), (3,)], start=1)]
    found = [step(x) for x in inputs]
    for given, doubled in zip(inputs, found, strict=True):
        assert torch.equal(doubled, 2 * given)
    assert len(recorded) == 2 and recorded[0] is None and recorded[1] is not None  # the second shares the first's pool
    step(inputs[0].double())
    assert len(recorded) == 3


def test_trees_keep_their_form() -> None:
    decoder = randomised(WanDecoder(WAN))
    _, state = decoder.first(torch.zeros(1, 16, 2, 3))
    doubled = mapped(lambda leaf: 2 * leaf, state)
    assert (
        type(doubled) is type(state)
        and type(doubled.levels[0]) is type(state.levels[0])
        and doubled.levels[-1].doubling is None
    )
    assert all(torch.equal(two, 2 * one) for one, two in zip(leaves(state), leaves(doubled), strict=True))
    assert leaves(None) == [] and mapped(torch.clone, (None, ())) == (None, ())


def test_a_decoder_whose_state_is_written_over_decodes_alike(recorded: list[Any]) -> None:
    decoder = randomised(WanDecoder(WAN)).requires_grad_(False)
    clips = [
        torch.randn(1, 16, t, 2, w, generator=torch.Generator().manual_seed(t)) for t, w in ((4, 3), (3, 3), (2, 2), (3, 3))
    ]
    expected = [decoder.decode(z) for z in clips]
    step = in_place(decoder.step)
    _, state = decoder.first(clips[0][:, :, 0])
    assert step(clips[0][:, :, 1], state)[1] is state
    graphed.capture_steps(decoder)
    for z, frames in zip(clips, expected, strict=True):
        assert torch.equal(decoder.decode(z), frames)
    assert len(recorded) == 2
    tiled = [d.decode(clips[0], tile=(2, 2), overlap=0) for d in (randomised(WanDecoder(WAN)).requires_grad_(False), decoder)]
    assert torch.equal(*tiled)


def test_a_network_replays_its_steps_until_they_are_released(recorded: list[Any]) -> None:
    model = build(small_oasis(patch=(1, 1, 1), skip=False, vae=WAN)).requires_grad_(False)
    clips = [clip(5, 6, 8), clip(5, 6, 8, seed=1), clip(1, 5, 7)]
    expected = [model(lq) for lq in clips]
    graphed.capture(model)
    for lq, frames in zip(clips, expected, strict=True):
        assert torch.equal(model(lq), frames)
    assert len(recorded) == 2 + 1  # the clip of one frame has a shape of its own and no later step
    graphed.release(model)
    assert (
        isinstance(model.graphed, Graphs)
        and not model.graphed.captured
        and torch.equal(model(clips[0]), expected[0])
        and len(recorded) == 3 + 2
    )
    with pytest.raises(ValueError, match="can be neither moved nor converted"):
        model.double()


def test_no_graphs_without_cuda() -> None:
    with pytest.raises(ValueError, match="need a CUDA device, and this model is on cpu; leave them out"):
        graphed.capture(network())
    with pytest.raises(ValueError, match="need a CUDA device"):
        graphed.capture_steps(WanDecoder(WAN))


def test_tables_are_held_for_as_long_as_a_graph_reads_them() -> None:
    made = []

    @kept(1)
    def table(number: int) -> list[int]:
        made.append(number)
        return [number]

    table(1)
    with holding() as held:
        assert table(1) == [1] and table(2) == [2]
    table(3)
    assert held == [[1], [2]] and made == [1, 2, 3]
    like = torch.zeros(1)
    with holding() as held:
        first = rotary_table(Grid(2, 3, 4), 12, like)
    assert held[0] is first


def routed(device: str, backend: str, dtype: torch.dtype) -> Oasis:
    dense = network(layers=2, heads=4)
    patterns = {"G": GLOBAL, "F": FRAME, "W": window(2, 2)}
    model = build(dense.config)
    model.load_state_dict(dense.state_dict())
    route(model, RoutingTable(model="little", weights_sha256="", patterns=patterns, layers=("GFWG", "WWGF")), "")
    model.requires_grad_(False).fold_constants()
    model.to(device, dtype).dit.backend = backend
    return model


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("backend", ["folded", "masked"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_replays_are_the_step_itself(backend: str, dtype: torch.dtype) -> None:
    model = routed("cuda", backend, dtype)
    sizes = [(5, 14, 18), (1, 14, 18), *((5, 6 + 2 * n, 10) for n in range(6)), (5, 14, 18)]  # more than tables are kept
    clips = [clip(*size, seed=seed).to("cuda", dtype) for seed, size in enumerate(sizes)]
    with torch.no_grad():
        expected = [model(lq) for lq in clips]
        graphed.capture(model)
        found = [model(lq) for lq in clips]
    for one, other in zip(found, expected, strict=True):  # another stream may get other kernels of a library: rounding
        torch.testing.assert_close(one, other, rtol=0, atol=16 * torch.finfo(dtype).eps)
    assert isinstance(model.graphed, Graphs) and len(model.graphed.captured) == len(
        {pad_clip(lq, 4, (1, 1, 1)).clip.shape for lq in clips}
    )


@pytest.mark.gpu
@needs_cuda
def test_the_tiny_model_and_the_wan_decoder_replay_themselves() -> None:
    model = load_model("tiny-routed").model.to("cuda", torch.bfloat16)
    decoder = randomised(WanDecoder(WAN)).requires_grad_(False).to("cuda")
    lq, z = clip(5, 24, 40).to("cuda", torch.bfloat16), torch.randn(1, 16, 4, 6, 8, device="cuda")
    with torch.no_grad():
        expected = model(lq), decoder.decode(z)
        graphed.capture(model)
        graphed.capture_steps(decoder)
        for _ in range(2):
            torch.testing.assert_close(model(lq), expected[0], rtol=0, atol=16 * torch.finfo(torch.bfloat16).eps)
            torch.testing.assert_close(decoder.decode(z), expected[1], rtol=0, atol=1e-5)


@pytest.mark.gpu
@needs_cuda
def test_what_cannot_be_captured_is_said() -> None:
    x = torch.ones(3, device="cuda")
    with pytest.raises(ValueError, match=r"this step cannot be captured in a CUDA graph .*; leave graphs out"):
        Graphs(lambda x: x * x.sum().item())(x)
    assert torch.equal(Graphs(lambda x: x * 2)(x), 2 * x)  # the device still works
