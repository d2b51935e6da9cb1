import json

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from raft_recipe import golden, official_state
from safetensors.torch import load_file
from torch import nn
from torchvision.models.optical_flow import raft_small

from oasis import weights
from oasis.metrics import flow


class Straight(nn.Module):
    def forward(self, first, second, num_flow_updates):
        assert torch.is_inference_mode_enabled() and not torch.backends.cudnn.allow_tf32
        self.seen = first, second
        rows, columns = torch.meshgrid(*(torch.arange(float(n)) for n in first.shape[-2:]), indexing="ij")
        return [torch.stack([columns, rows])[None] * step for step in range(1, num_flow_updates + 1)]


def texture(height, width, seed=0):
    coarse = np.random.default_rng(seed).random((height // 4 + 2, width // 4 + 2)).astype(np.float32)
    return np.round(255 * np.clip(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)).astype(np.uint8)


@given(st.integers(1, 40), st.integers(1, 40))
@settings(max_examples=20, deadline=None)
def test_padding_repeats_borders_evenly(height, width):
    image = np.random.default_rng(0).random((height, width))
    rows, columns = ((extra // 2, extra - extra // 2) for extra in (-height % 8, -width % 8))
    expected = np.pad(image, (rows, columns), mode="edge")
    assert np.array_equal(flow.pad(torch.from_numpy(image)[None, None])[0, 0], expected)


@given(st.integers(128, 150), st.integers(128, 150), st.sampled_from([(-1.0, 1.0), (0.0, 1.0), (-1.0, 2 / 255 - 1)]))
@settings(max_examples=10, deadline=None)
def test_raft_sees_padded_images_in_its_range_and_its_flow_is_cut_back(height, width, sees):
    images = torch.rand(2, 1, 3, height, width, generator=torch.Generator().manual_seed(0))
    estimate = flow.Raft(network=Straight(), updates=5, sees=sees)
    found = estimate(*images)
    top, left = (-height % 8) // 2, (-width % 8) // 2
    assert (found.shape, found.dtype) == ((height, width, 2), np.float32)
    assert found[0, 0].tolist() == [5 * left, 5 * top]
    assert found[-1, -1].tolist() == [5 * (left + width - 1), 5 * (top + height - 1)]
    for image, seen in zip(images, estimate.network.seen, strict=True):
        wanted = sees[0] + image * (sees[1] - sees[0])
        assert torch.allclose(seen[:, :, top : top + height, left : left + width], wanted, atol=1e-6)


@pytest.mark.parametrize("case", ["large", "small"])
def test_official_names_are_mapped_by_rule(shared, case):
    mapping = json.loads(shared(f"golden/raft/{case}/mapping.json").read_text())["official_to_torchvision"]
    assert {name: flow.torchvision_name(name) for name in mapping} == mapping


def test_the_published_files_names_become_torchvisions(shared):
    official, own = (
        [line.split("\t")[0] for line in shared(f"golden/raft/names_{kind}.txt").read_text().splitlines()]
        for kind in ("raft-things_official", "raft_large_torchvision")
    )
    mapped = [flow.torchvision_name(name) for name in official]
    assert sorted(name for name in mapped if name) == sorted(own)
    assert mapped.count(None) == 10


def test_published_weights_give_the_official_flow(shared, tmp_path, monkeypatch):
    config, mapping = (json.loads(shared(f"golden/raft/large/{name}.json").read_text()) for name in ("config", "mapping"))
    state = official_state(golden(shared("golden/recipe.py")), mapping["shapes"], config["seed"])
    path = tmp_path / "raft-things.pth"
    torch.save({f"module.{name}": tensor for name, tensor in state.items()}, path)
    monkeypatch.setattr(weights, "find", {flow.THINGS: path}.__getitem__)
    inputs = load_file(shared("golden/raft/large/inputs.safetensors"))
    estimate = flow.Raft(network=flow.raft(flow.THINGS, "cpu"), updates=12)
    found = estimate(inputs["image1_u8"] / 255, inputs["image2_u8"] / 255)
    expected = load_file(shared("golden/raft/large/outputs.safetensors"))["flow_up_final_padded"][0]
    assert np.abs(found.transpose(2, 0, 1) - expected.numpy()).max() < 2e-3


def test_padding_is_that_of_the_official_script(shared):
    config, mapping = (json.loads(shared(f"golden/raft/small/{name}.json").read_text()) for name in ("config", "mapping"))
    state = official_state(golden(shared("golden/recipe.py")), mapping["shapes"], config["seed"], small=True)
    network = raft_small(weights=None).eval()
    network.load_state_dict({flow.torchvision_name(name): tensor for name, tensor in state.items()})
    inputs = load_file(shared("golden/raft/small/inputs.safetensors"))
    found = flow.Raft(network=network, updates=12)(inputs["image1_u8"] / 255, inputs["image2_u8"] / 255)
    expected = load_file(shared("golden/raft/small/outputs.safetensors"))["flow_up_final_padded"][0]
    assert np.abs(found.transpose(2, 0, 1) - expected[:, 3:-3, 1:-2].numpy()).max() < 2e-3


def test_files_of_other_networks_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "raft.pth"
    torch.save({"weight": torch.zeros(1)}, path)
    monkeypatch.setattr(weights, "find", lambda name: path)
    for name in (flow.TORCHVISION, flow.THINGS):
        with pytest.raises(ValueError, match=r"raft\.pth: not the weights of RAFT-large"):
            flow.raft(name, "cpu")


@given(st.integers(-4, 4), st.integers(-4, 4), st.integers(0, 9))
@settings(max_examples=8, deadline=None)
@pytest.mark.parametrize("estimate", [flow.dis, flow.farneback])
def test_opencv_finds_the_way_of_a_texture(estimate, dx, dy, seed):
    wide = texture(96 + 16, 128 + 16, seed)
    first = wide[8:-8, 8:-8].copy()
    second = wide[8 - dy : 104 - dy, 8 - dx : 136 - dx].copy()
    found = estimate(first, second)
    assert (found.shape, found.dtype) == ((96, 128, 2), np.float32)
    assert np.median(found[16:-16, 16:-16], axis=(0, 1)) == pytest.approx([dx, dy], abs=0.25)
    assert np.array_equal(found, estimate(first, second))


def test_small_frames_are_refused_in_one_sentence():
    small = np.zeros((31, 400), dtype=np.uint8)
    for estimate in (flow.dis, flow.farneback):
        with pytest.raises(ValueError, match=r"^OpenCV's flow needs at least 32x32 pixels, got 31x400$"):
            estimate(small, small)
    with pytest.raises(ValueError, match=r"^RAFT needs at least 128x128 pixels, got 127x200$"):
        flow.Raft(network=Straight())(torch.zeros(1, 3, 127, 200), torch.zeros(1, 3, 127, 200))
