from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from wan_golden import VAE_CASES, Case, listed_shapes, read

from oasis.configs import VAEConfig
from oasis.train import encoder as encoders
from oasis.train.encoder import WanEncoder, frames_encoder, load_encoder, read_encoder

Shared = Callable[[str], Path]
TOLERANCE = 5e-5  # of the reference's README


def config_of(case: Case) -> VAEConfig:
    sizes = case.config["model_official_kwargs"]
    return VAEConfig(kind="wan", channels=sizes["z_dim"], width=sizes["dim"], blocks=sizes["num_res_blocks"])


@pytest.mark.parametrize("name", VAE_CASES)
def test_latents_equal_the_official_ones(name: str, shared: Shared) -> None:
    skip = ("decoder.", "conv2.") if name == "real_dims" else ()  # half the numbers to draw
    case = read(shared(f"golden/wan_vae/{name}"), skip=skip)
    encoder = WanEncoder(config_of(case))
    load_encoder(encoder, case.weights, "official")
    stored = {key.rpartition("_")[2]: z for key, z in case.outputs.items() if key.startswith("latent_mean_normalized_")}
    assert stored
    for frames, expected in stored.items():
        assert (encoder.encode(case.inputs[f"video_{frames}"]) - expected).abs().max() < TOLERANCE


@pytest.fixture(scope="module")
def base(shared: Shared) -> Case:
    return read(shared("golden/wan_vae/base"))


def test_a_file_is_read_under_either_names(base: Case, tmp_path: Path) -> None:
    clip, config = base.inputs["video_5f"], config_of(base)
    theirs = {base.to_diffusers[key]: tensor for key, tensor in base.weights.items()}
    found = []
    for number, state in enumerate((base.weights, theirs)):
        save_file(state, tmp_path / f"{number}.safetensors")
        found.append(read_encoder(tmp_path / f"{number}.safetensors", config).encode(clip))
    assert torch.equal(*found) and found[0].std() > 0.01


def test_names_are_those_of_the_published_file(shared: Shared) -> None:
    with torch.device("meta"):
        encoder = WanEncoder(VAEConfig(kind="wan", channels=16, width=96, blocks=2))
    shapes = {encoders.official_name(key): tuple(tensor.shape) for key, tensor in encoder.state_dict().items()}
    published = listed_shapes(shared("golden/wan_vae/names_wan2.1_vae_official.txt"))
    assert shapes == {key: shape for key, shape in published.items() if not key.startswith(encoders.DECODER["official"])}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conv1.bias": None}, "weights do not fit: .*quant_conv.bias"),
        ({"extra.weight": torch.zeros(1)}, "weights do not fit: .*extra.weight"),
        ({"conv1.bias": torch.zeros(3)}, "weights do not fit: .*quant_conv.bias"),
        ({"conv1.bias": torch.full((32,), torch.nan)}, "tensor 'conv1.bias' holds NaN"),
    ],
)
def test_weights_that_do_not_fit_are_refused(base: Case, tmp_path: Path, change: dict, message: str) -> None:
    state = {key: tensor for key, tensor in (base.weights | change).items() if tensor is not None}
    save_file(state, tmp_path / "vae.safetensors")
    with pytest.raises(ValueError, match=rf"vae.safetensors: Wan encoder with official names: {message}"):
        read_encoder(tmp_path / "vae.safetensors", config_of(base))


def test_frames_become_latents(base: Case) -> None:
    encoder = WanEncoder(config_of(base))
    load_encoder(encoder, base.weights, "official")
    frames = np.random.default_rng(0).integers(0, 256, (5, 16, 24, 3), dtype=np.uint8)
    found = frames_encoder(encoder)(frames)
    clip = torch.from_numpy(frames).permute(3, 0, 1, 2)[None] / 127.5 - 1
    expected = encoder.encode(clip)[0]
    assert found.shape == (16, 2, 2, 3) and found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_encoding_is_causal_and_frozen(base: Case) -> None:
    encoder = WanEncoder(config_of(base))
    load_encoder(encoder, base.weights, "official")
    clip = base.inputs["video_9f"].clone().requires_grad_(True)
    whole = encoder.encode(clip)
    assert not whole.requires_grad and not any(p.requires_grad for p in encoder.parameters())
    torch.testing.assert_close(encoder.encode(clip[:, :, :5]), whole[:, :, :2], atol=1e-6, rtol=0)


@pytest.mark.parametrize("shape", [(4, 16, 16), (5, 12, 16), (5, 16, 20)])
def test_clips_that_do_not_fit_are_refused(shape: tuple[int, int, int]) -> None:
    encoder = WanEncoder(VAEConfig(kind="wan", channels=16, width=6, blocks=1))
    with pytest.raises(ValueError, match=rf"needs 4k\+1 frames .* got {shape[0]} of {shape[2]}x{shape[1]}"):
        encoder.encode(torch.zeros(1, 3, *shape))


def test_unknown_names_and_channels_are_refused(base: Case) -> None:
    with pytest.raises(ValueError, match="writes 16 channels, got channels=8"):
        WanEncoder(VAEConfig(kind="wan", channels=8, width=6, blocks=1))
    with pytest.raises(ValueError, match="'ours' are unknown; allowed: official, diffusers"):
        load_encoder(WanEncoder(config_of(base)), base.weights, "ours")
