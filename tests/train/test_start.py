from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from oasis.configs import WAN_1_3B
from oasis.model.dit import DiT
from oasis.model.naming import dit_names, rename
from oasis.model.oasis import Oasis
from oasis.model.unshuffle import unshuffle
from oasis.train import shards, start
from oasis.train.corpus import Clips, CropSize
from oasis.train.shards import Shards

CONFIG = replace(
    WAN_1_3B,
    dit=replace(WAN_1_3B.dit, dim=24, heads=2, layers=1, ffn_dim=32, text_dim=12, freq_dim=8),
    vae=replace(WAN_1_3B.vae, width=8, blocks=1),
    prompt_tokens=2,
)
SIZE = CropSize(batch=4, frames=5, height=32, width=32)


def clips() -> Clips:
    return Clips({"noise": np.random.default_rng(0).integers(0, 256, (9, 64, 64, 3), dtype=np.uint8)}, "moderate")


def backbone(path: Path, names: str) -> DiT:
    torch.manual_seed(1)
    dit = DiT(replace(CONFIG.dit, in_channels=16))
    state = dit.state_dict()
    theirs = rename(state, dit_names(dit.config), "ours", names)
    save_file({theirs[name]: tensor.contiguous() for name, tensor in state.items()}, path)
    return dit


@pytest.mark.parametrize("names", ["official", "diffusers"])
def test_a_backbone_is_taken_whole_and_its_embedding_reads_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: str
) -> None:
    monkeypatch.setattr(start, "FIT_BATCHES", 8)
    # Latents that are means of pixels, so that a linear map of the clean clip's pixels knows them, and of degraded ones almost.
    encoder = lambda hr: np.repeat(hr[::4, 4::8, 4::8].transpose(3, 0, 1, 2) / 127.5 - 1, 6, axis=0)[:16]  # noqa: E731
    shards.write(tmp_path / "shards", clips(), [SIZE], 16, seed=0, encoder=encoder)
    pretrained = backbone(tmp_path / "wan.safetensors", names)
    torch.manual_seed(0)
    model = Oasis(CONFIG)
    source = Shards(tmp_path / "shards")
    explained = start.load_backbone(model, tmp_path / "wan.safetensors", source, (SIZE,), 0, embedding="least-squares")
    for name, tensor in pretrained.state_dict().items():
        if not name.startswith("patch_embedding."):
            assert torch.equal(model.dit.state_dict()[name], tensor), name
    assert explained is not None and explained.shape == (16,) and bool((explained > 0).all())
    batch = next(start._batches(source, (SIZE,), 0))
    seen, wanted = model.dit.patch_embedding(unshuffle(batch.lq, 4)), pretrained.patch_embedding(batch.latents)
    assert (seen - wanted).var() < wanted.var()


def test_without_latents_only_a_random_embedding_can_start(tmp_path: Path) -> None:
    backbone(tmp_path / "wan.safetensors", "diffusers")
    model = Oasis(CONFIG)
    path = tmp_path / "wan.safetensors"
    with pytest.raises(ValueError, match=r"it needs shards that hold them .* or --embedding random"):
        start.load_backbone(model, path, clips(), (SIZE,), 0, embedding="least-squares")
    assert start.load_backbone(model, path, clips(), (SIZE,), 0, embedding="random") is None
    assert model.dit.patch_embedding.weight.std() > 0 and not model.dit.patch_embedding.bias.any()
