import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from oasis.metrics import perceptual, pixel


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    smooth = torch.nn.functional.interpolate(torch.rand(2, 3, 12, 14, generator=generator), scale_factor=16, mode="bicubic")
    clean = (smooth.clamp(0, 1) * 255).round().to(torch.uint8)
    noisy = (clean + 8 * torch.randn(clean.shape, generator=generator)).clamp(0, 255).round().to(torch.uint8)
    return noisy, clean


def test_psnr_y_equals_skimage_on_matlabs_luma(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    def luma(frame: torch.Tensor) -> np.ndarray:
        r, g, b = frame.numpy().astype(float) / 255
        return 65.481 * r + 128.553 * g + 24.966 * b + 16

    noisy, clean = pair
    each = [peak_signal_noise_ratio(luma(b), luma(a), data_range=255) for a, b in zip(noisy, clean, strict=True)]
    assert pixel.psnr_y(noisy, clean) == pytest.approx(np.mean(each), abs=1e-9)


def test_luma_of_white_and_black_is_limited_range() -> None:
    ends = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 3, 1, 1)
    assert pixel.luma(ends).flatten().tolist() == pytest.approx([16, 235], abs=1e-9)


@pytest.mark.parametrize("name", perceptual.WITHOUT_WEIGHTS)
def test_perceptual_measures_rank_noise_below_the_original(name: str, pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    noisy, clean = pair
    score = perceptual.scorer(name)
    better = {"gmsd": -1, "ms_ssim": 1}[name]
    assert better * (score(clean, clean) - score(noisy, clean)) > 0.001
    with pytest.raises(ValueError, match="cannot be compared"):
        score(noisy, clean[:, :, 1:])


def test_unknown_measures_and_sizes_are_refused(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    with pytest.raises(ValueError, match="measure 'fid' is unknown; allowed: gmsd, ms_ssim"):
        perceptual.scorer("fid")
    with pytest.raises(ValueError, match="cannot be compared"):
        pixel.psnr_y(pair[0], pair[1][:1])
