import json
import math
from collections.abc import Callable
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from safetensors.numpy import load_file
from skimage.metrics import structural_similarity

from oasis.measures.pixel import CROPPED, PIXEL, crop_of
from oasis.metrics import pixel
from oasis.metrics.frames import Frame
from oasis.metrics.meter import Result, Setting, Unavailable
from oasis.metrics.tecogan import tecogan_crop, tecogan_frames

NAMES = [measure.name for measure in PIXEL]
FREE = [measure.name for measure in CROPPED]
BT601 = np.array([65.481, 128.553, 24.966])


def measured(names: list[str], outputs: np.ndarray, references: np.ndarray) -> dict[str, Result]:
    """Measure clips "t h w 3"."""
    meter = pixel.make(names, Setting(clip="clip", frames=len(outputs), height=outputs.shape[1], width=outputs.shape[2]))
    for output, reference in zip(outputs, references, strict=True):
        meter.add(Frame(output), Frame(reference))
    return meter.result()


def value(name: str, output: np.ndarray, reference: np.ndarray) -> float:
    return measured([name], output[None], reference[None])[name].value


def pair(seed: int, height: int = 24, width: int = 30, noise: float = 6, frames: int = 1) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    coarse = draw.uniform(0, 255, (frames, 2 + height // 6, 2 + width // 6, 3)).repeat(6, axis=1).repeat(6, axis=2)
    truth = coarse[:, :height, :width].round()
    found = (truth + draw.normal(0, noise, truth.shape)).round().clip(0, 255)
    return found.astype(np.uint8), truth.astype(np.uint8)


def decibels(x: np.ndarray, y: np.ndarray, eps: float = 0) -> float:
    return float(10 * np.log10(1 / (np.mean((x / 255 - y / 255) ** 2) + eps)))


def limited(rgb: np.ndarray) -> np.ndarray:
    return 16 + rgb @ BT601 / 255


def full(rgb: np.ndarray) -> np.ndarray:
    return rgb @ np.array([0.299, 0.587, 0.114])


def matlab(rgb: np.ndarray) -> np.ndarray:
    return np.floor((rgb.astype(int) @ np.array([65481, 128553, 24966]) + 16 * 255000) / 255000 + 0.5)


def dove(rgb: np.ndarray) -> np.ndarray:
    return 255 * 0.0625 + rgb @ np.array([0.257, 0.504, 0.098])


PLAIN: dict[str, tuple[Callable[[np.ndarray], np.ndarray], float]] = {
    "psnr@rgb": (lambda rgb: rgb.astype(float), 0),
    "psnr@y": (limited, 0),
    "psnr@y-rounded": (matlab, 0),
    "psnr@y-full": (full, 0),
    "psnr@pyiqa": (lambda rgb: rgb.astype(float), 1e-8),
    "psnr@pyiqa-y": (full, 1e-8),
    "psnr@dove-y": (dove, 1e-8),
}


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), height=st.integers(1, 40), width=st.integers(1, 40), noise=st.sampled_from([1, 6, 60]))
def test_psnr_equals_its_formula(seed: int, height: int, width: int, noise: float) -> None:
    (found,), (truth,) = pair(seed, height, width, noise)
    results = measured(list(PLAIN), found[None], truth[None])
    for name, (luma, eps) in PLAIN.items():
        with np.errstate(divide="ignore"):
            expected = decibels(luma(found), luma(truth), eps)
        assert results[name].value == pytest.approx(expected, abs=1e-9), name


@settings(max_examples=20, deadline=None)
@given(level=st.integers(0, 254), channel=st.integers(0, 2))
def test_the_smallest_error_is_not_rounded_away(level: int, channel: int) -> None:
    truth = np.full((40, 40, 3), level, np.uint8)
    found = truth.copy()
    found[..., channel] += 1
    assert value("psnr@y", found, truth) == pytest.approx(20 * math.log10(255**2 / BT601[channel]), abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999), noise=st.sampled_from([1, 6, 60]))
def test_luma_of_limited_range_scores_1_322_db_more_than_of_full_range(seed: int, noise: float) -> None:
    found, truth = pair(seed, noise=noise)
    results = measured(["psnr@y", "psnr@y-full"], found, truth)
    assert results["psnr@y"].value - results["psnr@y-full"].value == pytest.approx(20 * math.log10(255 / 219), abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(level=st.integers(0, 200), shift=st.integers(1, 55))
def test_a_constant_error_scores_by_its_size(level: int, shift: int) -> None:
    truth = np.full((12, 12, 3), level, np.uint8)
    assert value("psnr@rgb", truth + np.uint8(shift), truth) == pytest.approx(20 * math.log10(255 / shift), abs=1e-9)
    assert value("psnr@y-full", truth + np.uint8(shift), truth) == pytest.approx(20 * math.log10(255 / shift), abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999), name=st.sampled_from(FREE))
def test_measures_are_symmetric_and_fall_with_noise_and_mirror_with_the_frame(seed: int, name: str) -> None:
    (found,), (truth,) = pair(seed)
    (worse,), _ = pair(seed, noise=30)
    assert value(name, found, truth) == pytest.approx(value(name, truth, found), abs=1e-7)
    assert value(name, found, truth) > value(name, worse, truth)
    assert value(name, found[:, ::-1].copy(), truth[:, ::-1].copy()) == pytest.approx(value(name, found, truth), abs=1e-6)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999), name=st.sampled_from(FREE), border=st.integers(1, 6))
def test_a_border_is_cut_as_by_hand(seed: int, name: str, border: int) -> None:
    (found,), (truth,) = pair(seed)
    inner = np.s_[border:-border, border:-border]
    assert value(f"{name}-crop{border}", found, truth) == pytest.approx(value(name, found[inner], truth[inner]), abs=1e-7)


def test_equal_frames_are_infinitely_good_or_80_db() -> None:
    truth, _ = pair(0, 64, 64, frames=5)
    endless = {"psnr@rgb", "psnr@y", "psnr@y-rounded", "psnr@y-full", "psnr@tecogan"}
    for name, result in measured(NAMES, truth, truth).items():
        expected = math.inf if name in endless else 80 if name.startswith("psnr") else 1
        assert result.value == pytest.approx(expected, abs=1e-9), name


def test_the_largest_error_of_a_large_frame_does_not_overflow() -> None:
    black = np.zeros((2160, 3840, 3), np.uint8)
    assert value("psnr@rgb", 255 - black, black) == 0


def test_a_clip_scores_the_mean_of_its_frames() -> None:
    found, truth = pair(1, 64, 80, frames=7)
    for name, result in measured(NAMES, found, truth).items():
        kept = range(2, 5) if name.endswith("tecogan") else range(7)
        assert result.numbers == tuple(kept)
        assert result.value == pytest.approx(np.mean(result.series))
        if name in FREE:
            assert result.series[3] == value(name, found[3], truth[3])


def test_luma_of_a_frame_is_exact_enough() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    assert np.abs(Frame(rgb).y - limited(rgb)).max() < 4e-5
    assert np.abs(Frame(rgb).y_full - full(rgb)).max() < 4e-5


@pytest.mark.parametrize("seed", range(3))
def test_equals_pyiqa(seed: int) -> None:
    import pyiqa

    found, truth = pair(seed, 60, 70, frames=2, noise=[2, 10, 40][seed])
    tensors = [torch.from_numpy(clip).movedim(-1, 1).float() / 255 for clip in (found, truth)]
    theirs = {
        "psnr@pyiqa": pyiqa.create_metric("psnr", device="cpu"),
        "psnr@pyiqa-y": pyiqa.create_metric("psnry", device="cpu"),
        "ssim@pyiqa": pyiqa.create_metric("ssim", device="cpu"),
        "ssim@pyiqa-rgb": pyiqa.create_metric("ssimc", device="cpu"),
    }
    for name, result in measured(list(theirs), found, truth).items():
        assert result.series == pytest.approx(theirs[name](*tensors).flatten().tolist(), abs=2e-5), name


def test_equals_scikit_image() -> None:
    (found,), (truth,) = pair(4, 60, 70)
    settings = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255)
    expected = structural_similarity(found, truth, channel_axis=-1, **settings)
    assert value("ssim@rgb", found, truth) == pytest.approx(expected, abs=1e-6)
    expected = structural_similarity(limited(found), limited(truth), **settings)
    assert value("ssim@y", found, truth) == pytest.approx(expected, abs=1e-6)


GOLDEN = {
    "psnr@rgb": "basicsr_psnr_rgb_crop0",
    "psnr@rgb-crop4": "basicsr_psnr_rgb_crop4",
    "psnr@y": "basicsr_psnr_y_crop0",
    "psnr@y-crop4": "basicsr_psnr_y_crop4",
    "psnr@pyiqa": "pyiqa_psnr",
    "psnr@pyiqa-y": "pyiqa_psnry",
    "psnr@dove-y": "dove_test_y_psnr",
    "psnr@tecogan": "tecogan_script_PSNR_Y",
    "ssim@rgb": "basicsr_ssim_rgb_crop0",
    "ssim@rgb-crop4": "basicsr_ssim_rgb_crop4",
    "ssim@y": "basicsr_ssim_y_crop0",
    "ssim@y-crop4": "basicsr_ssim_y_crop4",
    "ssim@pyiqa": "pyiqa_ssim",
    "ssim@pyiqa-rgb": "pyiqa_ssimc",
    "ssim@tecogan": "tecogan_script_SSIM_Y",
}


def test_equals_what_the_published_tools_gave(shared: Callable[[str], Path]) -> None:
    clips = load_file(shared("golden/metrics/inputs.safetensors"))
    expected = json.loads(shared("golden/metrics/expected.json").read_text(encoding="utf-8"))["metrics"]
    for name, result in measured(list(GOLDEN), clips["pred_u8"], clips["gt_u8"]).items():
        tolerance = 1e-4 if name.startswith("psnr") else 1e-5
        assert result.series == pytest.approx(expected[GOLDEN[name]], abs=tolerance), name


def test_tecogans_crop_and_frames(shared: Callable[[str], Path]) -> None:
    frame = load_file(shared("golden/metrics/inputs.safetensors"))["gt_u8"][0]
    cropped = load_file(shared("golden/metrics/outputs.safetensors"))["crop8x8_gt_frame0"]
    assert (frame[tecogan_crop(64, 96)] == cropped).all()
    assert tecogan_crop(48, 79) == (slice(8, 40), slice(23, 55))
    assert tecogan_crop(540, 960) == (slice(14, 526), slice(16, 944))
    assert tecogan_frames(5) == range(2, 3)


@settings(max_examples=50)
@given(side=st.integers(48, 3000))
def test_tecogans_crop_is_the_largest_centred_multiple_of_32_with_16_to_spare(side: int) -> None:
    rows, columns = tecogan_crop(side, 48)
    kept = rows.stop - rows.start
    assert kept % 32 == 0 and 16 <= side - kept < 48
    assert 0 <= side - rows.stop - rows.start <= 1
    assert columns == slice(8, 40)


def test_names_and_borders() -> None:
    assert crop_of("psnr@y-crop4") == ("psnr@y", 4)
    assert crop_of("ssim@pyiqa-rgb") == ("ssim@pyiqa-rgb", 0)
    assert crop_of("lpips@alex") == ("lpips@alex", 0)
    for name in ("psnr@y-crop0", "psnr@y-crop04", "psnr@y-crop", "psnr@y-crop-1", "psnr@y-crop1.5", "psnr@y-crop4-crop4"):
        with pytest.raises(ValueError, match="must be a whole number of pixels from 1"):
            crop_of(name)
    for name in ("psnr@tecogan-crop4", "lpips@alex-crop4", "psnr@yy-crop4"):
        with pytest.raises(ValueError, match=r"cuts no border; allowed before -crop: psnr@rgb, "):
            crop_of(name)


@pytest.mark.parametrize(
    ("name", "sizes", "message"),
    [
        ("psnr@rgb-crop8", (3, 30, 16), "of 30x16 pixels a border of 8 must leave 1x1 or more"),
        ("ssim@rgb", (3, 10, 30), "of 10x30 pixels a border of 0 must leave 11x11 or more"),
        ("ssim@y-crop3", (3, 16, 30), "of 16x30 pixels a border of 3 must leave 11x11 or more"),
        ("psnr@tecogan", (9, 47, 64), "needs 48, the clip has 47"),
        ("ssim@tecogan", (4, 64, 64), "needs 5, the clip has 4"),
    ],
)
def test_clips_too_small_are_refused(name: str, sizes: tuple[int, int, int], message: str) -> None:
    frames, height, width = sizes
    with pytest.raises(ValueError, match=message):
        pixel.make([name], Setting(clip="small", frames=frames, height=height, width=width))


def test_what_cannot_be_measured_is_refused() -> None:
    truth = np.full((64, 64, 3), 7, np.uint8)
    meter = pixel.make(["ssim@tecogan"], Setting(clip="flat", frames=5, height=64, width=64))
    with pytest.raises(ValueError, match="none of the 0 frames counts"):
        meter.result()
    with pytest.raises(Unavailable, match="there is none"):
        meter.add(Frame(truth), None)
    with pytest.raises(ValueError, match="luma is constant"):
        for _ in range(3):
            meter.add(Frame(truth), Frame(truth))
