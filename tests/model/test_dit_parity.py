"""The transformer against outputs of the official Wan2.1 code, and against diffusers with the same weights."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor
from wan_golden import DIT_CASES, Case, dit_config, read

from oasis.grid import Grid
from oasis.model.checkpoint import load_dit
from oasis.model.dit import DiT
from oasis.model.layers import rotary_table, rotate, timestep_embedding

Shared = Callable[[str], Path]
TOLERANCE = 1e-5  # of the reference's README for a sinusoid in float64; peaks of the outputs are about 4
TOLERANCE_DIFFUSERS = 6e-5  # its sinusoid is float32
OUTPUTS = {"output": "x", "output_small": "x_small"}


@dataclass(frozen=True)
class Network:
    case: Case
    dit: DiT

    @property
    def timestep(self) -> Tensor:
        return self.case.inputs["t"].double()

    def contexts(self) -> list[Tensor]:
        """Prompt embeddings without padding, one of each clip."""
        return [self.case.inputs[f"context_{i}"][None] for i in range(len(self.timestep))]

    def padded(self) -> Tensor:
        text_len = self.dit.config.text_len
        return torch.cat([F.pad(context, (0, 0, 0, text_len - context.shape[1])) for context in self.contexts()])


@pytest.fixture(scope="module", params=DIT_CASES)
def network(request: pytest.FixtureRequest, shared: Shared) -> Network:
    case = read(shared(f"golden/wan_dit/{request.param}"))
    dit = DiT(dit_config(case.config["model"])).eval().requires_grad_(False)
    load_dit(dit, case.weights, "official")
    return Network(case, dit)


def oracle(network: Network) -> torch.nn.Module:
    from diffusers import WanTransformer3DModel

    config = network.dit.config
    model = WanTransformer3DModel(
        patch_size=config.patch,
        num_attention_heads=config.heads,
        attention_head_dim=config.head_dim,
        in_channels=config.in_channels,
        out_channels=config.out_channels,
        text_dim=config.text_dim,
        freq_dim=config.freq_dim,
        ffn_dim=config.ffn_dim,
        num_layers=config.layers,
        eps=config.eps,
    )
    model.load_state_dict({network.case.to_diffusers[name]: tensor for name, tensor in network.case.weights.items()})
    return model.eval().requires_grad_(False)


def peak(a: Tensor, b: Tensor) -> float:
    return (a.float() - b.float()).abs().max().item()


@pytest.mark.parametrize("output", OUTPUTS)
def test_output_with_padded_prompts(network: Network, output: str) -> None:
    condition = network.dit.condition(network.timestep, network.padded())
    assert condition.bias is None
    found = network.dit(network.case.inputs[OUTPUTS[output]], condition)
    assert peak(found, network.case.outputs[output]) < TOLERANCE


@pytest.mark.parametrize("output", OUTPUTS)
def test_output_with_collapsed_prompts(network: Network, output: str) -> None:
    clips = network.case.inputs[OUTPUTS[output]].split(1)
    for clip, timestep, context, expected in zip(
        clips, network.timestep.split(1), network.contexts(), network.case.outputs[output].split(1), strict=True
    ):
        condition = network.dit.condition(timestep, context)
        assert condition.key.shape[3] <= context.shape[1] + 1
        assert peak(network.dit(clip, condition), expected) < TOLERANCE


def test_every_stored_step_on_the_way(network: Network) -> None:
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        return lambda module, inputs, output: seen.update({name: output})

    dit, stored = network.dit, network.case.outputs
    handles = [dit.text_embedding.register_forward_hook(keep("text_embedding_out"))]
    handles += [dit.blocks[0].register_forward_pre_hook(lambda module, inputs: seen.update(patch_embedding_out=inputs[0]))]
    for layer, block in enumerate(dit.blocks):
        handles.append(block.register_forward_hook(keep(f"block{layer}_out")))
        handles.append(block.self_attention.output.register_forward_hook(keep(f"block{layer}_self_attn_out")))
        handles.append(block.cross_attention.output.register_forward_hook(keep(f"block{layer}_cross_attn_out")))
    padded = network.padded()
    dit(network.case.inputs["x"], dit.condition(network.timestep, padded))
    for handle in handles:
        handle.remove()
    seen["e"], seen["e0"] = dit.time_embedding(network.timestep, like=padded)
    seen["sinusoid"] = timestep_embedding(network.timestep, dit.config.freq_dim)
    seen |= {f"{name}_first8": tensor[:, :8] for name, tensor in seen.items()}
    compared = set(stored) - set(OUTPUTS) - {"rope_in", "rope_out"}
    assert compared <= set(seen)
    for name in compared:
        # Steps on the way reach larger values than outputs do; one float32 rounding there is as much more.
        scale = max(1.0, stored[name].abs().max().item() / 4)
        assert peak(seen[name], stored[name]) < TOLERANCE * scale, name


def test_rotary_positions(network: Network) -> None:
    if "rope_in" not in network.case.outputs:
        assert network.dit.config.dim == 1536
        return
    before, after = (rearrange(network.case.outputs[name], "b n heads d -> b heads n d") for name in ("rope_in", "rope_out"))
    t, h, w = network.case.inputs["x"].shape[2:]
    table = rotary_table(Grid(t, h // 2, w // 2), network.dit.config.head_dim, like=before)
    assert peak(rotate(before, table), after) < 1e-6


def test_diffusers_with_the_same_weights_in_float32_and_bfloat16(network: Network) -> None:
    dit, other = network.dit, oracle(network)
    timestep, padded, x = network.case.inputs["t"], network.padded(), network.case.inputs["x"]
    theirs = other(x, timestep, padded, return_dict=False)[0]
    assert peak(dit(x, dit.condition(network.timestep, padded)), theirs) < TOLERANCE_DIFFUSERS

    half = DiT(dit.config).eval().requires_grad_(False)
    half.load_state_dict(dit.state_dict())
    half, other = half.to(torch.bfloat16), other.to(torch.bfloat16)
    padded = padded.bfloat16()
    for name, source in OUTPUTS.items():
        exact, x = network.case.outputs[name], network.case.inputs[source].bfloat16()
        error = (other(x, timestep, padded, return_dict=False)[0] - exact).float()
        ours = [half(x, half.condition(network.timestep, padded))]
        if len(x) == 1:
            ours.append(half(x, half.condition(network.timestep, network.contexts()[0].bfloat16())))
        for found in ours:
            assert found.dtype == torch.bfloat16
            assert (found - exact).abs().max() <= 2 * error.abs().max()
            assert (found - exact).square().mean().sqrt() <= 2 * error.square().mean().sqrt()
