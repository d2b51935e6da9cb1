import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from raft_recipe import golden
from safetensors.numpy import load_file
from scipy import ndimage

from oasis.data import builtin
from oasis.measures.temporal import TIME
from oasis.metrics import flow, perceptual, temporal
from oasis.metrics.frames import Frame
from oasis.metrics.meter import Setting, Unavailable


def measured(names, outputs, references=None):
    height, width = outputs[0].shape[:2]
    meter = temporal.make(names, Setting(clip="clip", frames=len(outputs), height=height, width=width))
    for number, output in enumerate(outputs):
        meter.add(Frame(output), None if references is None else Frame(references[number]))
    return meter.result()


@pytest.fixture
def pair(shared):
    clips = load_file(shared("golden/metrics/inputs.safetensors"))
    return clips["pred_u8"], clips["gt_u8"], json.loads(shared("golden/metrics/expected.json").read_text())["metrics"]


def test_tof_is_tecogans(pair, shared):
    output, reference, expected = pair
    found = measured(["tof@tecogan"], output, reference)["tof@tecogan"]
    assert found.value == pytest.approx(expected["tOF_official_mean"], abs=1e-3)
    assert found.series == pytest.approx(expected["tOF_per_pair_all"][2:5], abs=1e-3)
    assert found.numbers == (3, 4, 5)
    way = flow.farneback(*(Frame(rgb).grey for rgb in reference[2:4]))
    rows, columns = temporal.tecogan_crop(*reference.shape[1:3])
    golden_way = load_file(shared("golden/metrics/outputs.safetensors"))["farneback_flow_gt_pair2_cropped"]
    assert np.abs(way[rows, columns] - golden_way).max() < 1e-3


def test_tof_of_whole_frames_is_its_formula(pair):
    output, reference, _ = pair
    expected = []
    for t in range(1, len(output)):
        ways = []
        for clip in (output, reference):
            earlier, later = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in clip[t - 1 : t + 1])
            ways.append(cv2.calcOpticalFlowFarneback(earlier, later, None, 0.5, 3, 15, 3, 5, 1.2, 0).astype(float))
        expected.append(np.sqrt(((ways[0] - ways[1]) ** 2).sum(axis=2)).mean())
    assert measured(["tof@farneback"], output, reference)["tof@farneback"].series == pytest.approx(expected, rel=1e-6)


@pytest.mark.filterwarnings("ignore::UserWarning:torchvision")
def test_tlp_is_tecogans_and_stablevsrs(pair, shared, monkeypatch):
    import lpips

    output, reference, expected = pair
    recipe = golden(shared("golden/recipe.py"))
    network = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False).eval().requires_grad_(False)
    for name, tensor in network.state_dict().items():
        if name.startswith("net."):
            tensor.copy_(torch.from_numpy(recipe.recipe_perceptual(name, tensor.shape, 6001)))
    monkeypatch.setattr(perceptual, "lpips_network", lambda net, device: lambda *pair: network(*pair, normalize=True).squeeze())
    expected = expected["perceptual_with_recipe_trunk"]
    found = measured(["tlp@tecogan", "tlp@stablevsr"], output, reference)
    assert found["tlp@tecogan"].value == pytest.approx(expected["tLP100_alex_teco_cut2"], abs=1e-3)
    assert found["tlp@tecogan"].series == pytest.approx(expected["tLP100_alex_per_pair_crop8x8"][2:5], abs=1e-3)
    assert found["tlp@tecogan"].numbers == (3, 4, 5)
    steps = []
    for clip in (output, reference):
        images = torch.from_numpy(clip).permute(0, 3, 1, 2) / 127.5 - 1
        steps.append(network(images[:-1], images[1:]).flatten())
    assert found["tlp@stablevsr"].series == pytest.approx((1000 * (steps[0] - steps[1]).abs()).tolist(), abs=1e-3)


class Asked(torch.nn.Module):
    def forward(self, first, second, num_flow_updates):
        assert self.training and num_flow_updates == 12
        assert 0 <= min(first.min(), second.min()) < 0.1 and 0.9 < max(first.max(), second.max()) <= 1
        return [torch.zeros(1, 2, *first.shape[-2:]), torch.cat([first[:, :1], second[:, :1]], dim=1)]


def test_tof_as_stablevsr_runs_raft(monkeypatch):
    monkeypatch.setattr(flow, "raft", lambda name, device: {flow.TORCHVISION: Asked()}[name].eval())
    output, reference = np.random.default_rng(0).integers(0, 256, (2, 3, 128, 136, 3)).astype(np.uint8)
    found = measured(["tof@stablevsr"], output, reference)["tof@stablevsr"]
    red = np.abs(output[..., 0] / 255 - reference[..., 0] / 255).mean(axis=(1, 2))
    assert found.series == pytest.approx([10 * (red[t] + red[t - 1]) / 2 for t in (1, 2)], rel=1e-5)


def test_raft_is_asked_for_the_way_back(monkeypatch):
    asked = []

    def forward(first, second, num_flow_updates):
        asked.append((float(first.mean()), float(second.mean())))
        return [torch.zeros(1, 2, *first.shape[-2:])]

    monkeypatch.setattr(flow, "raft", lambda name, device: SimpleNamespace(train=lambda: forward))
    levels = [np.full((128, 128, 3), level, dtype=np.uint8) for level in (0, 51, 102)]
    measured(["tof@stablevsr"], levels, levels)
    assert np.allclose(asked, [(0.2, 0), (0.2, 0), (0.4, 0.2), (0.4, 0.2)], atol=1e-6)


@given(st.integers(0, 40), st.integers(0, 2), st.integers(0, 5))
@settings(max_examples=15, deadline=None)
def test_flicker_is_seen_where_the_reference_stands_still(amplitude, noise, seed):
    rng = np.random.default_rng(seed)
    reference = np.repeat(rng.integers(0, 200, (1, 40, 60, 3)), 4, axis=0)
    reference[:, :, 30:] = rng.integers(0, 200, (4, 40, 30, 3))  # a moving half
    reference[1::2, :, :30] += noise
    output = np.array(reference)
    output[:, :, :30] = 100
    output[1::2, :, :30] += amplitude
    found = measured(["flicker@static"], output.astype(np.uint8), reference.astype(np.uint8))["flicker@static"]
    assert found.series == pytest.approx([amplitude] * 3)
    assert found.numbers == (1, 2, 3)


@given(st.integers(0, 9))
@settings(max_examples=10, deadline=None)
def test_still_pixels_are_those_of_the_definition(seed):
    rng = np.random.default_rng(seed)
    earlier = rng.integers(0, 256, (20, 30, 3)).astype(np.uint8)
    later = earlier.copy()
    later[rng.random(earlier.shape) < 0.02] ^= 7  # a change of 1 to 7 grey levels
    calm = (np.abs(earlier.astype(int) - later) <= 2).all(axis=2)
    assert np.array_equal(temporal.still(earlier, later), ndimage.minimum_filter(calm, size=3, mode="nearest"))


def test_without_still_pixels_there_is_no_flicker():
    moving = np.random.default_rng(0).integers(0, 256, (3, 40, 60, 3)).astype(np.uint8)
    moving[1, :3, :3] = moving[0, :3, :3]  # the corner's 2x2 pixels have all their neighbours: 4 of 2400
    with pytest.raises(ValueError, match=r"clip: flicker@static counts no pair of frames: at most 0\.000% .* 0\.1% are needed"):
        measured(["flicker@static"], moving[1:], moving[1:])
    assert measured(["flicker@static"], moving, moving)["flicker@static"].numbers == (1,)


@given(st.integers(0, 255), st.integers(0, 255))
@settings(max_examples=10, deadline=None)
def test_vbenchs_flicker_is_the_change_of_frames(one, two):
    clip = [np.full((8, 8, 3), level, dtype=np.uint8) for level in (one, two, one)]
    found = measured(["flicker@vbench"], clip)["flicker@vbench"]
    assert found.series == pytest.approx([1 - abs(one - two) / 255] * 2)


def test_sharpness_is_the_variance_of_the_laplacian():
    clip = builtin.make("chelsea-zoom", frames=1, height=64, width=96).hr
    grey = cv2.cvtColor(clip[0], cv2.COLOR_RGB2GRAY).astype(float)
    kernel = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])
    found = measured(["sharpness@laplacian"], clip)["sharpness@laplacian"]
    assert found.value == pytest.approx(ndimage.convolve(grey, kernel, mode="mirror").var())
    assert (found.series, found.numbers) == ((found.value,), (0,))
    soft, noisy = cv2.GaussianBlur(clip[0], (0, 0), 1), clip[0] + np.random.default_rng(0).integers(0, 5, clip[0].shape)
    values = [
        measured(["sharpness@laplacian"], [frame.astype(np.uint8)])["sharpness@laplacian"].value for frame in (soft, noisy)
    ]
    assert values[0] < 0.5 * found.value < found.value < values[1]


def test_pairs_and_frames_are_measured_together(pair):
    output, reference, _ = pair
    names = ["sharpness@laplacian", "flicker@vbench", "tof@farneback"]
    together = measured(names, output, reference)
    assert set(together) == set(names)
    assert together == {name: measured([name], output, reference)[name] for name in names}


def test_what_is_missing_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("OASIS_WEIGHTS", str(tmp_path))
    clip = np.zeros((6, 128, 128, 3), dtype=np.uint8)
    for measure in TIME:
        if measure.weights:
            with pytest.raises(Unavailable, match=measure.weights[0]):
                measured([measure.name], clip, clip)
    for name in ("tof@farneback", "tof@tecogan", "flicker@static"):
        with pytest.raises(ValueError, match="no reference"):
            measured([name], clip)


def test_clips_that_do_not_fit_are_refused():
    clip = np.zeros((6, 64, 64, 3), dtype=np.uint8)
    for frames, reason in ((4, "it needs 5, the clip has 4"), (5, "needs 6 frames for a pair, the clip has 5")):
        with pytest.raises(ValueError, match=f"TecoGAN's protocol .*{reason}"):
            measured(["tof@tecogan"], clip[:frames], clip[:frames])
    with pytest.raises(ValueError, match="needs 48, the clip has 47"):
        measured(["tof@tecogan"], clip[:, :47], clip[:, :47])
    with pytest.raises(ValueError, match="OpenCV's Farneback, which needs 32"):
        measured(["tof@farneback"], clip[:, :31], clip[:, :31])
    with pytest.raises(ValueError, match="RAFT, which needs 128"):
        measured(["tof@stablevsr"], clip, clip)
    with pytest.raises(ValueError, match="flicker@vbench compares neighbouring frames, the clip has 1"):
        measured(["flicker@vbench"], clip[:1])
