"""Routed attention and the probe's statistics against independent float64 results."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from einops import rearrange
from safetensors.torch import load_file
from torch import Tensor

from oasis.attention import attend
from oasis.attention.lse import attention_lse, expectations, pattern_lse
from oasis.attention.masked import pattern_mask
from oasis.grid import Grid
from oasis.routing import FRAME, GLOBAL, Pattern, window

precisions = pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 2e-5)])
variants = pytest.mark.parametrize("variant", ["blocks", "sliding"])


@dataclass(frozen=True, kw_only=True)
class Case:
    grid: Grid
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]
    roles: list[str]
    windows: dict[str, Pattern]

    def qkv(self, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = (rearrange(self.inputs[name], "heads t h w d -> 1 heads (t h w) d").to(dtype) for name in "qkv")
        return q, k, v

    def expected(self, name: str) -> Tensor:
        return self.outputs[name].flatten(1, 3)[None]

    def patterns(self, variant: str) -> list[Pattern]:
        of_role = {"global": GLOBAL, "intra_frame": FRAME, "window": self.windows[variant]}
        return [of_role[role] for role in self.roles]


@pytest.fixture(params=["main", "indivisible"])
def case(request: pytest.FixtureRequest, shared: Callable[[str], Path]) -> Case:
    folder = shared("golden/attention_routing") / request.param
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return Case(
        grid=Grid(config["T"], config["H"], config["W"]),
        inputs=load_file(folder / "inputs.safetensors"),
        outputs=load_file(folder / "outputs.safetensors"),
        roles=config["head_roles"],
        windows={
            "blocks": window(*config["window_blocks_hw"]),
            "sliding": Pattern(kind="sliding", radius=tuple(config["sliding_radius_hw"])),
        },
    )


@variants
@precisions
def test_routed_output(case: Case, variant: str, dtype: torch.dtype, tolerance: float) -> None:
    for backend in ("masked", "folded"):
        out = attend(*case.qkv(dtype), case.patterns(variant), case.grid, backend=backend)
        torch.testing.assert_close(out.double(), case.expected(f"{variant}/output"), rtol=0, atol=tolerance)


@variants
@precisions
def test_divergence_and_mass_of_each_head(case: Case, variant: str, dtype: torch.dtype, tolerance: float) -> None:
    q, k, v = case.qkv(dtype)
    full = attention_lse(q, k, v)
    for head, pattern in enumerate(case.patterns(variant)):
        kl = (full.lse - pattern_lse(q, k, v, pattern, case.grid).lse)[:, head].double()
        torch.testing.assert_close(kl, case.expected(f"{variant}/kl_masked_vs_full")[:, head], rtol=0, atol=tolerance)
        torch.testing.assert_close((-kl).exp(), case.expected(f"{variant}/mass_inside_mask")[:, head], rtol=0, atol=tolerance)
    torch.testing.assert_close(full.out.double(), case.expected("output_full"), rtol=0, atol=tolerance)


@precisions
def test_statistics_of_full_attention(case: Case, dtype: torch.dtype, tolerance: float) -> None:
    q, k, v = case.qkv(dtype)
    found = expectations(q, k, attention_lse(q, k, v).lse, case.grid)
    names = {"entropy": "entropy_full", "dist_t": "temporal_distance_full", "dist_xy": "spatial_distance_full"}
    for name, expected in names.items():
        torch.testing.assert_close(getattr(found, name).double(), case.expected(expected), rtol=0, atol=tolerance)


def test_masks(case: Case) -> None:
    named = {"intra_frame": FRAME, "window_blocks": case.windows["blocks"], "window_sliding": case.windows["sliding"]}
    for name, pattern in named.items():
        assert torch.equal(pattern_mask(pattern, case.grid), case.outputs[f"mask/{name}"].bool())
