import functools
import math
import re

import numpy as np
import piq
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from oasis.measures import MEASURES
from oasis.metrics import structure
from oasis.metrics.frames import Frame
from oasis.metrics.meter import Meter, Setting

FAMILIES = tuple(structure.SMALLEST)
PERFECT = {"gmsd": 0, "fsim": 1, "vif": 1, "nlpd": 0}
Image = NDArray[np.float64]


def meter(*families: str, height: int = 176, width: int = 192, frames: int = 1) -> Meter:
    return structure.make(
        [f"{family}@pyiqa" for family in families], Setting(clip="clip", frames=frames, height=height, width=width)
    )


def measured(family: str, output: Frame, reference: Frame) -> float:
    taken = meter(family)
    taken.add(output, reference)
    return taken.result()[f"{family}@pyiqa"].value


@functools.cache
def scene(seed: int, noise: float = 0) -> Frame:
    random = np.random.default_rng(seed)
    coarse = random.uniform(0, 255, (22, 24, 3))
    smooth = ndimage.zoom(coarse, (8, 8, 1), order=3)
    return Frame((smooth + noise * random.standard_normal(smooth.shape)).clip(0, 255).round().astype(np.uint8))


def luma(frame: Frame) -> Image:
    return frame.y_full.round()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("seed", [1, 2])
def test_more_noise_scores_worse_and_no_change_scores_perfect(family: str, seed: int) -> None:
    # Fixed seeds: on some smooth scenes pyiqa's VIF is not a number, which a meter refuses.
    clean = scene(seed)
    perfect, good, bad = (measured(family, scene(seed, noise), clean) for noise in (0.0, 4.0, 24.0))
    assert perfect == pytest.approx(PERFECT[family], abs=1e-5)
    assert abs(good - perfect) < abs(bad - perfect)
    assert (bad < good) == (MEASURES[f"{family}@pyiqa"].better == "higher")


def test_fsim_equals_piq() -> None:
    output, reference = scene(1, 12), scene(1)
    assert measured("fsim", output, reference) == pytest.approx(float(piq.fsim(output.tensor, reference.tensor)), abs=1e-5)


def test_gmsd_equals_the_paper() -> None:
    def gradient(image: Image) -> Image:
        half = (image[::2, ::2] + image[1::2, ::2] + image[::2, 1::2] + image[1::2, 1::2]) / 4
        prewitt = np.outer([1, 1, 1], [1, 0, -1]) / 3
        return np.hypot(*(ndimage.correlate(half, taps, mode="constant") for taps in (prewitt, prewitt.T)))

    output, reference = scene(2, 12), scene(2)
    a, b = gradient(luma(output)), gradient(luma(reference))
    expected = np.std((2 * a * b + 170) / (a**2 + b**2 + 170), ddof=1)
    # pyiqa rounds luma in float32, where halves fall to other grey levels: one pixel in a thousand is another.
    assert measured("gmsd", output, reference) == pytest.approx(expected, abs=2e-5)


def test_nlpd_equals_the_authors_pyramid() -> None:
    # NLP_dist.m: the weights of the neighbours above, left, right, below, and the constants, from the finest level on.
    neighbours = [
        (0.1011, 0.1493, 0.1460, 0.1015),
        (0.0757, 0.1986, 0.1846, 0.0837),
        (0.0477, 0.2138, 0.2243, 0.0467),
        (0, 0.2503, 0.2616, 0),
        (0, 0.2598, 0.2552, 0),
        (0, 0.2215, 0.0717, 0),
    ]
    constants = [0.0248, 0.0185, 0.0179, 0.0191, 0.0220, 0.2782]
    taps = np.outer([0.05, 0.25, 0.4, 0.25, 0.05], [0.05, 0.25, 0.4, 0.25, 0.05])

    def normalised(band: Image, level: int) -> Image:
        above, left, right, below = neighbours[level]
        pool = np.array([[0, above, 0], [left, 0, right], [0, below, 0]])
        return band / (constants[level] + ndimage.convolve(abs(band), pool, mode="constant"))

    def pyramid(image: Image) -> list[Image]:
        bands = []
        for level in range(5):
            small = ndimage.correlate(image, taps, mode="reflect")[::2, ::2]
            padded = np.pad(small, 1, mode="edge")
            spread = np.zeros((2 * padded.shape[0], 2 * padded.shape[1]))
            spread[::2, ::2] = 4 * padded
            enlarged = ndimage.correlate(spread, taps, mode="constant")[2 : 2 + image.shape[0], 2 : 2 + image.shape[1]]
            bands.append(normalised(image - enlarged, level))
            image = small
        return [*bands, normalised(image, 5)]

    output, reference = scene(3, 12), scene(3)
    levels = zip(pyramid(output.y_full / 255), pyramid(reference.y_full / 255), strict=True)
    expected = np.mean([np.sqrt(np.mean((a - b) ** 2)) for a, b in levels])
    assert measured("nlpd", output, reference) == pytest.approx(expected, abs=1e-5)


def test_vif_equals_the_papers_information() -> None:
    # The taps of the steerable pyramid are constants of matlabPyrTools; all that is done with them is written out here.
    from pyiqa.archs.vif_arch import sp5_filters

    taps = sp5_filters()
    size = round(len(taps["bfilts"]) ** 0.5)

    def subbands(image: Image) -> list[Image]:
        low, found = ndimage.correlate(image, taps["lo0filt"], mode="mirror"), []
        for _ in range(4):
            for orientation in (0, 3):
                found.append(ndimage.correlate(low, taps["bfilts"][:, orientation].reshape(size, size).T, mode="mirror"))
            low = ndimage.correlate(low, taps["lofilt"], mode="mirror")[::2, ::2]
        return found

    def information(clean: Image, seen: Image, window: int) -> tuple[float, float]:
        height, width = (side // 3 * 3 for side in clean.shape)
        clean, seen = clean[:height, :width], seen[:height, :width]

        def local(image: Image) -> Image:
            return ndimage.correlate(image, np.full((window, window), window**-2.0), mode="mirror")[1::3, 1::3]

        variance = local(clean**2) - local(clean) ** 2
        covariance = local(clean * seen) - local(clean) * local(seen)
        gain = (covariance / np.maximum(variance, 1e-12)).clip(min=0)
        noise = (local(seen**2) - local(seen) ** 2 - gain * covariance).clip(min=1e-12)
        windows = np.lib.stride_tricks.sliding_window_view(clean, (3, 3))
        spread = np.cov(windows.reshape(-1, 9), rowvar=False, bias=True)
        blocks = windows[::3, ::3].reshape(height // 3, width // 3, 9)
        scale = np.einsum("hwi,ij,hwj->hw", blocks, np.linalg.pinv(spread), blocks) / 9
        border = math.ceil((window - 1) / 2 / 3)
        inner = np.s_[border : height // 3 - border, border : width // 3 - border]
        gain, noise, scale = gain[inner][..., None], noise[inner][..., None], scale[inner][..., None]
        power = scale * np.linalg.eigvalsh(spread)
        return np.log2(1 + gain**2 * power / (noise + 0.4)).sum(), np.log2(1 + power / 0.4).sum()

    output, reference = scene(4, 12), scene(4)
    pairs = zip(subbands(luma(reference)), subbands(luma(output)), strict=True)
    each = [information(clean, seen, 2 ** (4 - number // 2) + 1) for number, (clean, seen) in enumerate(pairs)]
    expected = sum(kept for kept, _ in each) / sum(there for _, there in each)
    assert measured("vif", output, reference) == pytest.approx(expected, abs=2e-4)


def test_a_clip_is_the_mean_of_its_frames() -> None:
    clean = scene(5)
    taken = meter("gmsd", "nlpd", frames=2)
    for noise in (4, 16):
        taken.add(scene(5, noise), clean)
    for family in ("gmsd", "nlpd"):
        result = taken.result()[f"{family}@pyiqa"]
        assert result.series == (measured(family, scene(5, 4), clean), measured(family, scene(5, 16), clean))
        assert result.value == pytest.approx(np.mean(result.series)) and result.numbers == (0, 1)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_smallest_frames_are_measured_and_smaller_ones_refused(family: str) -> None:
    side = structure.SMALLEST[family]
    random = np.random.default_rng(0)
    a, b = (Frame(random.integers(0, 256, (side, side, 3), dtype=np.uint8)) for _ in range(2))
    taken = meter(family, height=side, width=side)
    taken.add(a, b)
    assert np.isfinite(taken.result()[f"{family}@pyiqa"].value)
    sentence = f"clip: frames of {side}x{side - 1} pixels are too small for {family}@pyiqa, which needs {side} on each side"
    with pytest.raises(ValueError, match=re.escape(sentence)):
        meter(family, height=side - 1, width=side)


def test_a_frame_without_a_reference_is_refused() -> None:
    with pytest.raises(ValueError, match="no reference frame"):
        meter("gmsd").add(scene(6), None)
