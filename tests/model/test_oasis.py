"""The whole network: sizes in and out, parameter counts, and its full-size form without memory."""

import copy
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import WAN_VAE, randomised, small_oasis
from wan_golden import listed_shapes

from oasis.configs import SCALES, TINY, WAN_1_3B, OasisConfig
from oasis.model.oasis import Oasis, describe, parameter_counts

MODELS: dict[tuple[int, tuple[int, int, int]], Oasis] = {}


def model_of(scale: int, patch: tuple[int, int, int]) -> Oasis:
    if (scale, patch) not in MODELS:
        MODELS[scale, patch] = randomised(Oasis(small_oasis(scale, patch=patch))).requires_grad_(False)
    return MODELS[scale, patch]


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(SCALES),
    st.sampled_from([(1, 1, 1), (1, 2, 2)]),
    st.tuples(st.integers(1, 6), st.integers(1, 11), st.integers(1, 11)),
)
def test_any_clip_comes_back_scaled_with_as_many_frames(
    scale: int, patch: tuple[int, int, int], size: tuple[int, int, int]
) -> None:
    t, h, w = size
    lq = 2 * torch.rand(1, 3, t, h, w, generator=torch.Generator().manual_seed(0)) - 1
    hr = model_of(scale, patch)(lq)
    assert hr.shape == (1, 3, t, scale * h, scale * w)
    assert hr.min() >= -1 and hr.max() <= 1 and hr.std() > 0.01


def test_clips_of_a_batch_do_not_mix() -> None:
    model = copy.deepcopy(model_of(4, (1, 2, 2))).double()
    lq = 2 * torch.rand(2, 3, 5, 6, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) - 1
    assert torch.allclose(torch.cat([model(lq[:1]), model(lq[1:])]), model(lq), rtol=0, atol=1e-10)


def test_full_size_decoder_and_patch_run_end_to_end_at_tiny_width() -> None:
    model = randomised(Oasis(small_oasis(vae=WAN_VAE, skip=False))).requires_grad_(False)
    hr = model(2 * torch.rand(1, 3, 6, 5, 7, generator=torch.Generator().manual_seed(2)) - 1)
    assert hr.shape == (1, 3, 6, 20, 28)
    assert torch.isfinite(hr).all() and hr.std() > 0.01


def test_full_size_model_builds_without_memory_and_counts_what_the_public_files_hold(shared: Callable[[str], Path]) -> None:
    started = time.process_time()
    with torch.device("meta"):
        model = Oasis(WAN_1_3B)
    assert time.process_time() - started < 20
    counts = parameter_counts(model)
    more_channels = (48 - 16) * 1 * 2 * 2 * 1536
    assert counts["transformer"] == 1_418_996_800 + more_channels
    assert counts["prompt"] == 64 * 4096
    vae = listed_shapes(shared("golden/wan_vae") / "names_wan2.1_vae_diffusers.txt")
    decoder = [shape for name, shape in vae.items() if name.startswith(("decoder.", "post_quant_conv."))]
    assert counts["decoder"] == sum(torch.Size(shape).numel() for shape in decoder)
    assert counts["skip"] == 0
    attention = 4 * 1536 * 1536 + 4 * 1536 + 2 * 1536
    assert counts["self-attention"] == 30 * attention
    assert counts["cross-attention"] == 30 * (attention + 2 * 1536)
    assert counts["total"] == sum(tensor.numel() for tensor in model.state_dict().values())


@pytest.mark.parametrize("config", [TINY, small_oasis(skip=False)], ids=["tiny", "small"])
def test_every_stored_number_is_counted_once(config: OasisConfig) -> None:
    with torch.device("meta"):
        model = Oasis(config)
    counts = parameter_counts(model)
    assert counts["total"] == sum(tensor.numel() for tensor in model.state_dict().values())
    assert counts["transformer"] == sum(tensor.numel() for tensor in model.dit.state_dict().values())
    assert counts["total"] == sum(counts[name] for name in ("transformer", "prompt", "skip", "decoder"))


def test_description_names_every_part() -> None:
    with torch.device("meta"):
        model = Oasis(WAN_1_3B)
    text = describe(model)
    assert text.splitlines()[0] == "oasis-wan-1.3b: parameters"
    assert "transformer      1,419,193,408" in text
    assert all(f"{count:,}" in text for count in parameter_counts(model).values())


def test_decoding_keeps_what_the_latents_cannot_hold() -> None:
    """Latents of the bicubic clip itself decode to the bicubic clip, although they are far fewer than its pixels."""
    model = Oasis(small_oasis(4, patch=(1, 1, 1))).double().requires_grad_(False)
    basis = torch.linalg.qr(torch.randn(model.vae.basis.shape, dtype=torch.float64)).Q
    model.vae.basis.copy_(basis)
    lq = 2 * torch.rand(2, 3, 5, 6, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(3)) - 1
    frames = [torch.nn.functional.interpolate(frame, scale_factor=4, mode="bicubic") for frame in lq.unbind(2)]
    bicubic = torch.stack(frames, dim=2)
    latents = model.vae.encode(bicubic)
    assert (model.vae.decode(latents, lq) - bicubic).abs().max() > 0.1
    torch.testing.assert_close(model.decode(latents, lq), bicubic, rtol=0, atol=1e-12)
