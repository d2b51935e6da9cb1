"""The step from an LQ clip to latents is one graph: nothing in it depends on values, so that CUDA graphs can hold it."""

from collections.abc import Iterator

import pytest
import torch
import torch._dynamo
import torch._dynamo.testing
from little import network

from oasis.grid import Grid
from oasis.model import build, route
from oasis.model.layers import rotary_table
from oasis.model.oasis import Oasis
from oasis.routing import FRAME, GLOBAL, RoutingTable, window


@pytest.fixture
def compiled() -> Iterator[torch._dynamo.testing.CompileCounter]:
    torch._dynamo.reset()
    yield torch._dynamo.testing.CompileCounter()
    torch._dynamo.reset()


def routed() -> Oasis:
    dense = network(layers=2, heads=4)
    patterns = {"G": GLOBAL, "F": FRAME, "W": window(2, 2)}
    table = RoutingTable(model="little", weights_sha256="", patterns=patterns, layers=("GFWG", "WWGF"))
    model = build(dense.config)
    model.load_state_dict(dense.state_dict())
    route(model, table, "")
    model.requires_grad_(False).fold_constants()
    return model


def test_the_routed_step_is_one_graph_for_all_layers_and_clips_of_a_size(compiled) -> None:
    model = routed()
    clips = [torch.rand(1, 3, 5, 14, 18, generator=torch.Generator().manual_seed(seed)) * 2 - 1 for seed in range(2)]
    expected = [model.latents(clip) for clip in clips]
    step = torch.compile(model.latents, backend=compiled, fullgraph=True, dynamic=False)  # fullgraph: a break is an error
    for clip, latents in zip(clips, expected, strict=True):
        assert torch.equal(step(clip), latents)
    assert compiled.frame_count == 1


def test_a_rotary_table_is_made_once_and_serves_inference_and_training() -> None:
    grid, like = Grid(2, 3, 4), torch.zeros(1, requires_grad=True)
    with torch.inference_mode():
        first = rotary_table(grid, 12, like)
    again = rotary_table(grid, 12, like)
    assert again is first and not first.is_inference()
    (like * again).sum().backward()
    assert rotary_table(grid, 12, like.to(torch.bfloat16)) is first  # angles need float32 at least
    assert rotary_table(grid, 12, like.double()).dtype == torch.float64
