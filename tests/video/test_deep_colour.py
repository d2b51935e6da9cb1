import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import noise, plain
from test_video_colour import SHARES, formula, frame_of, legal

from oasis.video import Tags, encoders
from oasis.video.colour import MATRICES, Colour, rgb, rgb16, ycbcr
from oasis.video.target import target

DEEP = [("yuv444p10le", 10), ("yuv444p12be", 12), ("yuv444p16le", 16)]


@given(st.integers(0, 2**32 - 1), st.sampled_from(sorted(SHARES)), st.sampled_from(DEEP), st.booleans())
@settings(max_examples=30)
def test_deep_samples_become_16_bits_by_the_formula_rounded(seed, code, pixels, full):
    planes = legal(np.random.default_rng(seed), pixels[1], full)
    error = rgb16(frame_of(pixels[0], planes, code, full)) - 257 * formula(*planes, code, pixels[1], full)
    assert np.abs(error).max() <= 0.5 + 1e-6


@pytest.mark.parametrize(("pixels", "bits"), [("gbrp10le", 10), ("gbrp12le", 12), ("gbrp16le", 16)])
def test_every_level_of_deep_rgb_comes_back(pixels, bits):
    levels = np.arange(2**bits).reshape(32, -1)
    found = rgb16(frame_of(pixels, [levels, levels[::-1], levels.T.reshape(32, -1)]))
    assert np.array_equal(np.rint(found[..., 1] * ((2**bits - 1) / 65535)), levels)
    assert found.min() == 0
    assert found.max() == 65535


@pytest.mark.parametrize("pixels", ["yuv420p", "gray", "rgb24", "bgr0"])
def test_8_bits_are_those_of_rgb_stretched(pixels):
    frame = av.VideoFrame.from_ndarray(np.random.default_rng(0).integers(0, 256, (16, 18, 3), np.uint8), format="rgb24")
    frame = frame.reformat(format=pixels)
    assert np.array_equal(rgb16(frame), rgb(frame).astype(np.uint16) * 257)


@given(st.integers(0, 2**32 - 1), st.sampled_from(sorted(SHARES)), st.sampled_from([8, 10, 12]), st.booleans())
@settings(max_examples=30)
def test_luma_and_chroma_lead_back_to_rgb(seed, code, bits, full):
    pixels = np.random.default_rng(seed).integers(0, 65536, (24, 40, 3)).astype(np.uint16)
    samples = ycbcr(pixels, MATRICES[code], bits, full).astype(float)
    error = np.abs(formula(*np.moveaxis(samples, -1, 0), code, bits, full) - pixels / 257)
    # Each sample is off by half a level; the blue of BT.2020 sees its luma once and its chroma 1.8814 times, green no more.
    levels = (255 / 219 + 1.9 * 255 / 224) / 2 / 2 ** (bits - 8)
    assert error.max() <= levels + 1e-3


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("code", sorted(SHARES))
def test_what_an_encoder_gets_is_the_formula(tmp_path, code, bits, full):
    yuv = Colour(pixels="yuv444p", matrix=MATRICES[code], full_range=full)
    about = plain(tmp_path, 33, 35, bits=bits, tags=Tags(code, 2, 2, 2 if full else 1), colour=yuv)
    pixels = noise(1, 33, 35, bits)[0]
    frame = encoders.stored(pixels, target(tmp_path / "o.mp4", about, scale=1))
    kind = np.uint8 if bits == 8 else np.uint16
    samples = [np.frombuffer(memoryview(plane), kind).reshape(33, -1)[:, :35].astype(float) for plane in frame.planes]
    error = np.abs(formula(*samples, code, bits, full) - pixels / (1 if bits == 8 else 257))
    # swscale's fixed point is off by 0.57 levels instead of half a one.
    slack = 0.57 if bits == 8 and not full else 0.5
    assert error.max() <= slack * (255 / 219 + 1.9 * 255 / 224) / 2 ** (bits - 8) + 1e-3
