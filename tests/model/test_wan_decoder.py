"""The streamed Wan decoder against diffusers' decoder: values, gradients, states, steps, precision."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import randomised
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from oasis.configs import VAEConfig
from oasis.model.wan_blocks import Norm
from oasis.model.wan_decoder import WAN_MEAN, WAN_STD, State, WanDecoder

ROUNDING = 1e-5  # float32, outputs near one; the official code's own noise is about 1e-6


def ours(blocks: int = 1, width: int = 4) -> WanDecoder:
    decoder = randomised(WanDecoder(VAEConfig(kind="wan", channels=16, width=width, blocks=blocks)))
    decoder.decoder.conv_out.weight.data *= 0.2  # within [-1, 1], where the other one clamps
    decoder.decoder.conv_out.bias.data *= 0.1
    return decoder.requires_grad_(False)


def theirs(decoder: WanDecoder) -> Any:
    from diffusers import AutoencoderKLWan

    sizes = decoder.config
    vae: Any = AutoencoderKLWan(base_dim=sizes.width, z_dim=sizes.channels, num_res_blocks=sizes.blocks)
    found = vae.load_state_dict(decoder.state_dict(), strict=False)
    assert not found.unexpected_keys and all(key.startswith(("encoder.", "quant_conv.")) for key in found.missing_keys)
    return vae.eval().requires_grad_(False)


PAIRS = {blocks: (decoder, theirs(decoder)) for blocks in (1, 2) for decoder in [ours(blocks)]}


def latents(t: int, h: int, w: int, b: int = 1, seed: int = 0) -> Tensor:
    return torch.randn(b, 16, t, h, w, generator=torch.Generator().manual_seed(seed))


def expected(vae: Any, z: Tensor) -> Tensor:
    mean, std = (z.new_tensor(values)[:, None, None, None] for values in (WAN_MEAN, WAN_STD))
    clip: Tensor = vae.decode(z * std + mean, return_dict=False)[0]
    return clip


def leaves(state: Any) -> list[Tensor]:
    return [each for each in torch.utils._pytree.tree_leaves(state) if each is not None]


@settings(max_examples=20, deadline=None)
@given(st.sampled_from([1, 2]), st.integers(1, 5), st.integers(1, 4), st.integers(1, 4), st.integers(1, 2))
def test_any_clip_is_what_diffusers_decodes(blocks: int, t: int, h: int, w: int, b: int) -> None:
    decoder, vae = PAIRS[blocks]
    z = latents(t, h, w, b, seed=t)
    found = decoder.decode(z)
    assert found.shape == (b, 3, 4 * t - 3, 8 * h, 8 * w)
    clip = expected(vae, z)
    assert clip.std() > 0.05 and clip.abs().max() < 1
    assert (found - clip).abs().max() < ROUNDING


def test_frames_come_as_latents_go_in_and_only_the_state_stays() -> None:
    decoder = PAIRS[1][0]
    z, taken = latents(4, 2, 3), 0

    def frames() -> Any:
        nonlocal taken
        for latent in z.unbind(2):
            taken += 1
            yield latent

    clip = []
    for number, pixels in enumerate(decoder.stream(frames())):
        assert taken == number + 1
        assert pixels.shape[2] == (4 if number else 1)
        clip.append(pixels)
    assert torch.equal(torch.cat(clip, dim=2), decoder.decode(z))


def steps(decoder: WanDecoder, z: Tensor) -> list[State]:
    states = []
    for latent in z.unbind(2):
        _, state = decoder.step(latent, states[-1]) if states else decoder.first(latent)
        states.append(state)
    return states


def test_states_are_copies_of_one_size_that_a_step_leaves_alone() -> None:
    decoder = PAIRS[2][0]
    states = steps(decoder, latents(4, 2, 3))
    sizes = [[tuple(each.shape) for each in leaves(state)] for state in states]
    assert sizes[0] == sizes[1] == sizes[2] and len(sizes[0]) == 2 + 2 * (2 + 4 * 3) + 2
    for state in states:
        assert all(each.untyped_storage().nbytes() == each.numel() * each.element_size() for each in leaves(state))
    before = [each.clone() for each in leaves(states[1])]
    latent = latents(1, 2, 3, seed=9)[:, :, 0]
    once, twice = (decoder.step(latent, states[1])[0] for _ in range(2))
    assert torch.equal(once, twice)
    assert all(torch.equal(one, other) for one, other in zip(before, leaves(states[1]), strict=True))


def test_gradients_are_those_of_diffusers() -> None:
    decoder, vae = ours(), theirs(ours())
    decoder.requires_grad_(True)
    vae.decoder.requires_grad_(True)
    z = latents(3, 2, 2)
    one, other = (z.clone().requires_grad_(True) for _ in range(2))
    weight = torch.randn(1, 3, 9, 16, 16, generator=torch.Generator().manual_seed(5))
    (decoder.decode(one) * weight).sum().backward()
    (expected(vae, other) * weight).sum().backward()
    wanted = dict(vae.named_parameters()) | {"": other}
    for name, tensor in [*decoder.named_parameters(), ("", one)]:
        if not name.startswith("post_quant_conv"):
            gradient = wanted[name].grad
            assert tensor.grad is not None and gradient is not None and gradient.abs().max() > 0
            assert (tensor.grad - gradient).abs().max() < 1e-4 * gradient.abs().max(), name


def test_checkpointed_steps_have_the_same_gradients() -> None:
    decoder, z = ours().double().requires_grad_(True), latents(3, 2, 2).double()

    def gradients(checkpointed: bool) -> list[Tensor]:
        decoder.zero_grad()
        pixels, state = decoder.first(z[:, :, 0])
        loss = pixels.square().sum()
        for latent in z[:, :, 1:].unbind(2):
            if checkpointed:
                pixels, state = checkpoint(decoder.step, latent, state, use_reentrant=False)
            else:
                pixels, state = decoder.step(latent, state)
            loss = loss + pixels.square().sum()
        loss.backward()
        return [tensor.grad for tensor in decoder.parameters() if tensor.grad is not None]

    plain, again = gradients(False), gradients(True)
    assert len(plain) == len(list(decoder.parameters()))
    assert all(torch.allclose(one, other, rtol=1e-10, atol=1e-12) for one, other in zip(plain, again, strict=True))


def test_half_precision_is_as_good_as_diffusers() -> None:
    decoder, vae = ours(width=16), theirs(ours(width=16))
    z = latents(3, 3, 4).bfloat16()
    exact = decoder.decode(z.float())
    theirs_off = (expected(vae.bfloat16(), z).float() - exact).square().mean()
    ours_off = (decoder.bfloat16().decode(z).float() - exact).square().mean()
    assert 0 < ours_off < 1.5 * theirs_off


def test_the_norm_of_nothing_is_nothing() -> None:
    norm = Norm(4, 3).requires_grad_(False)
    assert torch.equal(norm(torch.zeros(2, 4)), torch.zeros(2, 4))
    found = norm(torch.tensor([[1e-15, 0, 0, 0], [3.0, 4, 0, 0]]))
    assert found[0].abs().max() < 0.01  # not lifted to one, as the official bound of 1e-12 has it
    assert torch.allclose(found[1], torch.tensor([1.2, 1.6, 0, 0]))


def test_wan_decoder_needs_the_channels_it_has_statistics_for() -> None:
    with pytest.raises(ValueError, match="reads 16 channels, got channels=8"):
        WanDecoder(VAEConfig(kind="wan", channels=8, width=6, blocks=1))
