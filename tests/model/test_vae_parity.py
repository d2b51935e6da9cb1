"""The Wan decoder against outputs of the official code and against diffusers; the small VAE against its own definition."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from small_models import randomised
from torch import Tensor
from wan_golden import VAE_CASES, Case, read

from oasis.configs import SCALES, VAEConfig
from oasis.model.checkpoint import load_decoder
from oasis.model.vae import PIXELS, SmallVAE
from oasis.model.wan_decoder import WAN_MEAN, WAN_STD, WanDecoder

Shared = Callable[[str], Path]
TOLERANCE = 5e-5  # of the reference's README


@pytest.fixture(scope="module", params=VAE_CASES)
def case(request: pytest.FixtureRequest, shared: Shared) -> Case:
    skip = ("encoder.", "conv1.") if request.param == "real_dims" else ()  # half the numbers to draw
    return read(shared(f"golden/wan_vae/{request.param}"), skip=skip)


@pytest.fixture(scope="module")
def decoder(case: Case) -> WanDecoder:
    sizes = case.config["model_official_kwargs"]
    config = VAEConfig(kind="wan", channels=sizes["z_dim"], width=sizes["dim"], blocks=sizes["num_res_blocks"])
    decoder = WanDecoder(config).eval().requires_grad_(False)
    load_decoder(decoder, case.weights, "official")
    return decoder


def latents(case: Case) -> dict[str, Tensor]:
    return {name.removeprefix("z_normalized_"): z for name, z in case.inputs.items() if name.startswith("z_normalized_")}


def test_decoded_clips_equal_the_official_ones(case: Case, decoder: WanDecoder) -> None:
    stored = {name.removeprefix("decoded_unclamped_") for name in case.outputs if name.startswith("decoded_unclamped_")}
    assert stored == set(latents(case))
    for frames, z in latents(case).items():
        found = decoder.decode(z)
        assert (found - case.outputs[f"decoded_unclamped_{frames}"]).abs().max() < TOLERANCE


def test_statistics_of_latents_are_the_official_ones(case: Case) -> None:
    assert list(WAN_MEAN) == case.config["latents_mean"]
    assert list(WAN_STD) == case.config["latents_std"]


def test_diffusers_decodes_the_same_clip_once_clamped(shared: Shared) -> None:
    from diffusers import AutoencoderKLWan

    case = read(shared("golden/wan_vae/base"))
    other = AutoencoderKLWan(**case.config["model_diffusers_kwargs"]).eval().requires_grad_(False)
    theirs = {case.to_diffusers[key]: tensor for key, tensor in case.weights.items()}
    other.load_state_dict(theirs)
    decoder = WanDecoder(VAEConfig(kind="wan", channels=16, width=6, blocks=2)).eval().requires_grad_(False)
    load_decoder(decoder, theirs, "diffusers")
    mean, std = (torch.tensor(values)[:, None, None, None] for values in (WAN_MEAN, WAN_STD))
    z = latents(case)["5f"]
    expected = other.decode(z * std + mean, return_dict=False)[0]
    found = decoder.decode(z)
    assert (found.abs() > 1).any()  # so that the clamp has something to do
    assert (found.clamp(-1, 1) - expected).abs().max() < 1e-5  # rounding: sums in another order


def test_decoding_is_causal_and_forgets_the_clip_before(case: Case, decoder: WanDecoder) -> None:
    z = next(z for z in latents(case).values() if z.shape[2] > 1)
    whole = decoder.decode(z)
    assert torch.allclose(decoder.decode(z[:, :, :1]), whole[:, :, :1], atol=1e-6)
    assert torch.equal(decoder.decode(z), whole)


def small_vae(blocks: int) -> SmallVAE:
    return SmallVAE(VAEConfig(kind="small", channels=5, width=8, blocks=blocks), scale=4).double()


def test_small_vae_starts_as_the_inverse_of_its_projection() -> None:
    vae = small_vae(blocks=1)
    generator = torch.Generator().manual_seed(1)
    basis = torch.randn(5, PIXELS, generator=generator, dtype=torch.float64)
    vae.fit(torch.randn(400, 5, generator=generator, dtype=torch.float64) @ basis + 0.3)  # exactly five components
    z = torch.randn(2, 5, 3, 2, 2, generator=generator, dtype=torch.float64)
    lq = torch.randn(2, 3, 9, 4, 4, generator=generator, dtype=torch.float64)
    # The first group of a clip is one repeated frame, so that only later groups come back as they were.
    assert torch.allclose(vae.encode(vae.decode(z, lq))[:, :, 1:], z[:, :, 1:], atol=1e-10)
    assert vae.decode(z, lq).shape == (2, 3, 9, 16, 16)


@pytest.mark.parametrize("scale", SCALES)
def test_small_vae_decodes_at_every_scale(scale: int) -> None:
    vae = SmallVAE(VAEConfig(kind="small", channels=5, width=4, blocks=1), scale)
    fold = 8 // scale
    assert vae.decode(torch.zeros(1, 5, 2, 3, 2), torch.zeros(1, 3, 5, 3 * fold, 2 * fold)).shape == (1, 3, 5, 24, 16)


def test_small_vae_reads_two_blocks_frames_around_and_keeps_clips_apart() -> None:
    vae = randomised(small_vae(blocks=2))
    generator = torch.Generator().manual_seed(2)
    z = torch.randn(2, 5, 4, 3, 2, dtype=torch.float64, generator=generator)
    lq = torch.randn(2, 3, 13, 6, 4, dtype=torch.float64, generator=generator)
    whole = vae.decode(z, lq)
    assert torch.allclose(vae.decode(z[1:], lq[1:]), whole[1:], atol=1e-12)
    lq[:, :, 6] += 1
    changed = (vae.decode(z, lq) - whole).abs().amax(dim=(0, 1, 3, 4)) > 1e-6
    assert changed.tolist() == [4 <= frame <= 8 for frame in range(13)]
