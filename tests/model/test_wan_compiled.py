"""Every step of the Wan decoder but the first is one graph; the run-time checker of shapes would break it."""

from typing import Any

import torch
from small_models import randomised

from oasis.configs import VAEConfig
from oasis.model.wan_decoder import WanDecoder


def test_steps_are_one_graph() -> None:
    decoder = randomised(WanDecoder(VAEConfig(kind="wan", channels=16, width=2, blocks=1))).requires_grad_(False)
    graphs: list[Any] = []

    def backend(graph: Any, inputs: list[torch.Tensor]) -> Any:
        graphs.append(graph)
        return graph

    compiled = torch.compile(decoder.step, fullgraph=True, dynamic=False, backend=backend)
    z = torch.randn(4, 1, 16, 1, 2, generator=torch.Generator().manual_seed(0))
    _, state = decoder.first(z[0])
    again = state
    for latent in z[1:]:
        wanted, state = decoder.step(latent, state)
        found, again = compiled(latent, again)
        assert torch.equal(found, wanted)
    assert len(graphs) == 1
