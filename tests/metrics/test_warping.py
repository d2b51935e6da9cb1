import json

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from raft_recipe import golden, official_state
from safetensors.numpy import load_file

from oasis import weights
from oasis.data import builtin
from oasis.measures.temporal import WARPING
from oasis.metrics import flow, warping
from oasis.metrics.frames import Frame
from oasis.metrics.meter import Setting, Unavailable

SIZES = st.tuples(st.integers(2, 9), st.integers(2, 9))


def setting(frames, **facts):
    height, width = frames[0].shape[:2]
    return Setting(clip="clip", frames=len(frames), height=height, width=width, **facts)


def measured(names, outputs, references=None, **facts):
    meter = warping.make(names, setting(outputs, **facts))
    for number, output in enumerate(outputs):
        meter.add(Frame(output), None if references is None else Frame(references[number]))
    return meter.result()


def plain_warp(image, way):
    height, width, _ = image.shape
    y, x = np.mgrid[:height, :width].astype(np.float64)
    x, y = np.clip(x + way[..., 0], 0, width - 1), np.clip(y + way[..., 1], 0, height - 1)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    right, below = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    a, b = (x - left)[..., None], (y - top)[..., None]
    upper = (1 - a) * image[top, left] + a * image[top, right]
    return (1 - b) * upper + b * ((1 - a) * image[below, left] + a * image[below, right])


def plain_occluded(forward, backward):
    returned = plain_warp(backward.astype(np.float64), forward.astype(np.float64))
    hidden = np.zeros(forward.shape[:2], dtype=bool)
    for y, x in np.ndindex(hidden.shape):
        ahead, back = forward[y, x].astype(np.float64), returned[y, x]
        hidden[y, x] = sum((ahead + back) ** 2) > 0.01 * (sum(ahead**2) + sum(back**2)) + 0.5
        steps = [forward[y, x + 1] - ahead if x + 1 < hidden.shape[1] else 0 * ahead]
        steps += [forward[y + 1, x] - ahead if y + 1 < hidden.shape[0] else 0 * ahead]
        hidden[y, x] |= sum(sum(step**2) for step in steps) > 0.01 * sum(ahead**2) + 0.002
    return hidden


def plain_half(rgb):
    height, width = (side // 2 for side in rgb.shape[:2])
    half = rgb[: 2 * height, : 2 * width].reshape(height, 2, width, 2, 3).mean(axis=(1, 3)) / 255
    return np.pad(half, [(extra // 2, extra - extra // 2) for extra in (-height % 8, -width % 8)] + [(0, 0)], mode="edge")


def ways(shape, largest=12):
    return arrays.arrays(np.float32, (*shape, 2), elements=st.floats(-largest, largest, width=32))


@given(st.data(), SIZES)
@settings(max_examples=40, deadline=None)
def test_warping_is_bilinear_and_clamped(data, size):
    way = data.draw(ways(size))
    image = np.random.default_rng(0).random((*size, 3))
    found = warping.warp(torch.from_numpy(image.transpose(2, 0, 1)[None].copy()), way)[0].numpy().transpose(1, 2, 0)
    assert np.abs(found - plain_warp(image, way.astype(np.float64))).max() < 1e-12


@given(st.integers(-3, 3), st.integers(-3, 3))
@settings(max_examples=20, deadline=None)
def test_warping_by_whole_pixels_shifts(dx, dy):
    image = torch.rand(1, 3, 12, 14, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = warping.warp(image, np.full((12, 14, 2), (dx, dy), dtype=np.float32))
    assert torch.allclose(found[..., 3:-3, 3:-3], image[..., 3 + dy : 9 + dy, 3 + dx : 11 + dx], atol=1e-12)


@given(st.data(), SIZES)
@settings(max_examples=40, deadline=None)
def test_occlusion_is_that_of_its_definition(data, size):
    smooth = data.draw(st.booleans())  # anything goes is nearly always a motion boundary
    forward = np.full((*size, 2), data.draw(ways(())), dtype=np.float32) if smooth else data.draw(ways(size, 1))
    backward = data.draw(ways(size, 3)) - forward
    assert np.array_equal(warping.occluded(forward, backward), plain_occluded(forward, backward))


@pytest.mark.parametrize("case", ["translation", "zoom"])
def test_masks_and_errors_of_both_published_scripts(shared, case):
    inputs, outputs = (load_file(shared(f"golden/ewarp/{case}/{name}.safetensors")) for name in ("inputs", "outputs"))
    frames = [Frame(rgb) for rgb in inputs["frames_u8"]]
    half = warping.half_padded(frames[0].tensor)[0].numpy()
    assert np.abs(half - outputs["B_half_padded_img1"][0]).max() < 1e-6
    assert np.abs(half.transpose(1, 2, 0) - plain_half(frames[0].rgb)).max() < 1e-6
    for key, script, ending in (("lai-full-occ-x1000", "A", ""), ("dove-half-occ-x1000", "B", "_half_padded")):
        errors = []
        for t, (forward, backward) in enumerate(zip(inputs[f"fw_flow{ending}"], inputs[f"bw_flow{ending}"], strict=True)):
            forward, backward = (way.transpose(1, 2, 0).copy() for way in (forward, backward))
            hidden = warping.occluded(forward, backward)
            assert np.array_equal(hidden, outputs[f"{script}_occlusion{ending}"][t].astype(bool))
            assert np.array_equal(hidden, plain_occluded(forward, backward))
            motion = warping.Motion(forward, hidden)
            errors.append(warping.PROTOCOLS[key].error(frames[t], frames[t + 1], motion))
        assert errors == pytest.approx(outputs[f"{script}_error_per_pair"], rel=1e-4)
    assert 1000 * np.mean(errors) == pytest.approx(outputs["B_ewarp_x1000"][0], rel=1e-4)


def test_evalcrafters_value_end_to_end(shared, tmp_path, monkeypatch):
    config = json.loads(shared("golden/ewarp/end_to_end_recipe_raft/config.json").read_text())
    mapping = json.loads(shared("golden/raft/large/mapping.json").read_text())
    recipe = golden(shared("golden/recipe.py"))
    state = official_state(recipe, mapping["shapes"], config["seed"])
    for name in ("update_block.flow_head.conv2.weight", "update_block.flow_head.conv2.bias"):
        state[name] *= config["flow_head_conv2_scale"] / 0.5
    path = tmp_path / "raft-things.pth"
    torch.save({f"module.{name}": tensor for name, tensor in state.items()}, path)
    monkeypatch.setattr(weights, "find", {flow.THINGS: path}.__getitem__)
    frames = recipe.formula_video(config["T"], config["H"], config["W"])
    twice, fair = (config["expected"][name] for name in ("official_quirk_images_0_1_into_raft", "images_0_255_into_raft"))
    name = "ewarp@dove-exact-half-occ-x1000"
    found = measured([name], frames)[name]
    assert found.value == pytest.approx(twice["ewarp_x1000"], rel=2e-3)
    assert abs(twice["ewarp_x1000"] - fair["ewarp_x1000"]) > 0.1 * fair["ewarp_x1000"]
    assert found.numbers == (1, 2)


def moving(frames, dx, dy, size=(48, 64), seed=0):
    rng = np.random.default_rng(seed)
    wide = rng.integers(0, 256, (size[0] + 2 * frames * abs(dy), size[1] + 2 * frames * abs(dx), 3)).astype(np.uint8)
    corners = [(frames * abs(dy) - t * dy, frames * abs(dx) - t * dx) for t in range(frames)]
    return [wide[y : y + size[0], x : x + size[1]] for y, x in corners]


def constant(dx, dy, size=(48, 64)):
    way = np.full((*size, 2), (dx, dy), dtype=np.float32)
    y, x = np.mgrid[: size[0], : size[1]]
    hidden = (x + dx < 0) | (x + dx >= size[1]) | (y + dy < 0) | (y + dy >= size[0])
    return lambda t: (way, hidden)


@given(st.integers(-3, 3), st.integers(-3, 3))
@settings(max_examples=10, deadline=None)
def test_what_moves_without_change_has_no_error(dx, dy):
    clip = moving(3, dx, dy)
    names = ["ewarp@true-flow-x1000", "ewarp_excess@true-flow-x1000"]
    found = measured(names, clip, clip, true_flow=constant(dx, dy))
    assert found[names[0]].value < 1e-20
    assert found[names[1]].value == 0
    wrong = measured(names[:1], clip, true_flow=constant(dx + 1, dy))
    assert wrong[names[0]].value > 100


@given(st.integers(1, 20))
@settings(max_examples=8, deadline=None)
def test_a_known_flicker_is_a_known_error(amplitude):
    still = np.full((32, 40, 3), 100, dtype=np.uint8)
    flicker = [still, still + np.uint8(amplitude), still]
    names = ["ewarp@true-flow-x1000", "ewarp_excess@true-flow-x1000"]
    found = measured(names, flicker, [still] * 3, true_flow=constant(0, 0, (32, 40)))
    for name in names:
        assert found[name].series == pytest.approx([1000 * (amplitude / 255) ** 2] * 2, rel=1e-5)
        assert found[name].numbers == (1, 2)


@pytest.mark.parametrize("name", ["chelsea-zoom", "page-over-brick"])
def test_ground_truth_has_little_error_and_blur_has_less(name):
    clip = builtin.make(name, frames=4, height=96, width=160)
    blurred = [cv2.GaussianBlur(frame, (0, 0), 2) for frame in clip.hr]
    names = [f"{family}@{way}-x1000" for family in ("ewarp", "ewarp_excess") for way in ("true-flow", "dis-full-occ")]
    facts = dict(true_flow=lambda t: (clip.flow[t], clip.occluded[t]))
    true, soft = (measured(names, frames, clip.hr, **facts) for frames in (list(clip.hr), blurred))
    shuffled = measured(names, list(clip.hr[[0, 3, 1, 2]]), clip.hr, **facts)
    for found in names[:2]:
        assert soft[found].value < 0.5 * true[found].value < 0.1 * shuffled[found].value
    for found in names[2:]:
        assert true[found].value == 0
        assert soft[found].value < 0
    for plain, excess in zip(names[:2], names[2:], strict=True):
        assert soft[excess].value == pytest.approx(soft[plain].value - true[plain].value)


def test_errors_by_dis_are_those_of_plain_code():
    clip = builtin.make("chelsea-zoom", frames=2, height=64, width=96).hr
    soft = [cv2.GaussianBlur(frame, (0, 0), 1) for frame in clip]
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def plain(seen, scored):
        first, second = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in seen)
        forward, backward = dis.calc(first, second, None), dis.calc(second, first, None)
        error = (plain_warp(scored[1] / 255, forward.astype(np.float64)) - scored[0] / 255) ** 2
        return 1000 * error[~plain_occluded(forward, backward)].mean()

    found = measured([f"{family}@dis-full-occ-x1000" for family in ("ewarp", "ewarp_excess")], soft, clip)
    assert found["ewarp@dis-full-occ-x1000"].value == pytest.approx(plain(clip, soft), rel=1e-6)
    assert found["ewarp_excess@dis-full-occ-x1000"].value == pytest.approx(plain(clip, soft) - plain(clip, clip), rel=1e-6)
    output = measured(["ewarp@dis-output-full-occ-x1000"], soft)["ewarp@dis-output-full-occ-x1000"]
    assert output.value == pytest.approx(plain(soft, soft), rel=1e-6)


def test_exact_motion_leaves_out_cuts_and_dis_does_not():
    clip = builtin.make("rocket-hubble-cut", frames=6, height=64, width=96)
    facts = dict(true_flow=lambda t: (clip.flow[t], clip.occluded[t]), cuts=tuple(clip.cut))
    names = ["ewarp@true-flow-x1000", "ewarp@dis-full-occ-x1000"]
    found = measured(names, list(clip.hr), clip.hr, **facts)
    assert clip.cut == [3]
    assert found[names[0]].numbers == (1, 2, 4, 5)
    assert found[names[1]].numbers == (1, 2, 3, 4, 5)
    with pytest.raises(ValueError, match="none shows a point twice"):
        measured(names[:1], list(clip.hr[2:4]), true_flow=lambda t: (clip.flow[2], clip.occluded[2]))


def test_flow_of_the_output_and_of_the_reference_differ():
    clip = moving(3, 2, 0)
    frozen = [clip[0]] * 3
    names = ["ewarp@dis-full-occ-x1000", "ewarp@dis-output-full-occ-x1000"]
    found = measured(names, frozen, clip)
    assert found[names[1]].value == measured(names[1:], frozen)[names[1]].value == pytest.approx(0, abs=1e-9)
    assert found[names[0]].value > 10


@pytest.mark.parametrize(
    ("name", "network", "of", "sees", "half"),
    [
        ("lai-full-occ", flow.TORCHVISION, "reference", (-1, 1), False),
        ("lai-output-full-occ", flow.TORCHVISION, "output", (-1, 1), False),
        ("dove-half-occ", flow.TORCHVISION, "output", (-1, 1), True),
        ("dove-exact-half-occ", flow.THINGS, "output", (-1, 2 / 255 - 1), True),
    ],
)
def test_raft_is_shown_what_its_protocol_says(name, network, of, sees, half, monkeypatch):
    shown = []

    def still(first, second, num_flow_updates):
        assert num_flow_updates == 20
        shown.append((first, second))
        return [torch.zeros(1, 2, *first.shape[-2:])]

    monkeypatch.setattr(flow, "raft", lambda name, device: {network: still}[name])
    clips = {"output": moving(2, 1, 0, (264, 296)), "reference": moving(2, 2, 1, (264, 296), seed=1)}
    found = measured([f"ewarp@{name}-x1000"], clips["output"], clips["reference"])[f"ewarp@{name}-x1000"]
    low, high = sees
    pair = [(plain_half(rgb) if half else rgb / 255) * (high - low) + low for rgb in clips[of]]
    for seen, wanted in zip(shown, (pair, pair[::-1]), strict=True):  # forward, then backward
        for image, expected in zip(seen, wanted, strict=True):
            assert np.abs(image[0].numpy().transpose(1, 2, 0) - expected).max() < 1e-5
    earlier, later = ((plain_half(rgb) if half else rgb / 255) for rgb in clips["output"])
    scale = 3 if half else 1  # a sum over R, G and B, not a mean
    assert found.value == pytest.approx(1000 * scale * ((later - earlier) ** 2).mean(), rel=1e-5)


def test_what_is_missing_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("OASIS_WEIGHTS", str(tmp_path))
    facts = setting(moving(2, 0, 0, (256, 256)))
    for measure in WARPING:
        if measure.weights:
            with pytest.raises(Unavailable, match=rf"{measure.weights[0]} weights .* are not in .*get them from"):
                warping.make([measure.name], facts)
    with pytest.raises(Unavailable, match="exact motion is known of the built-in clips only"):
        warping.make(["ewarp@true-flow-x1000"], facts)
    with pytest.raises(ValueError, match="no reference"):
        measured(["ewarp@dis-full-occ-x1000"], moving(2, 0, 0))


def test_clips_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="the clip has 1"):
        measured(["ewarp@dis-full-occ-x1000"], moving(1, 0, 0))
    for name, least in (("dis-full-occ", 32), ("lai-full-occ", 128), ("dove-half-occ", 256)):
        with pytest.raises(ValueError, match=f"needs {least} on each side"):
            warping.make([f"ewarp@{name}-x1000"], setting(moving(2, 0, 0, (least - 1, 400))))
    with pytest.raises(ValueError, match="its motion is of 48x64 pixels, the frames have 40x64"):
        measured(["ewarp@true-flow-x1000"], moving(2, 0, 0, (40, 64)), true_flow=constant(0, 0))


def test_every_warping_measure_is_measured_and_nothing_else():
    protocols = {measure.name.partition("@")[2] for measure in WARPING}
    assert protocols == set(warping.PROTOCOLS)
    assert all(measure.name.endswith("-x1000") and measure.unit == "x1e-3" for measure in WARPING)
