from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oasis import video
from oasis.video.colour import rgb

# K_R and K_B by the code of H.273, table 4.
SHARES = {1: (0.2126, 0.0722), 4: (0.3, 0.11), 5: (0.299, 0.114), 6: (0.299, 0.114), 7: (0.212, 0.087), 9: (0.2627, 0.0593)}


def formula(y, cb, cr, code, bits, full):
    """H.273, clause 8.3, from samples to RGB in 0..255, not rounded."""
    scale, half = 2 ** (bits - 8), 2 ** (bits - 1)
    if full:
        luma, blue, red = y / (2**bits - 1), (cb - half) / (2**bits - 1), (cr - half) / (2**bits - 1)
    else:
        luma, blue, red = (y / scale - 16) / 219, (cb - half) / scale / 224, (cr - half) / scale / 224
    k_r, k_b = SHARES[code]
    r, b = luma + 2 * (1 - k_r) * red, luma + 2 * (1 - k_b) * blue
    g = (luma - k_r * r - k_b * b) / (1 - k_r - k_b)
    return np.clip(255 * np.stack([r, g, b], axis=-1), 0, 255)


def frame_of(pixels, planes, code=1, full=False):
    bits = av.VideoFormat(pixels).components[0].bits
    frame = av.VideoFrame(planes[0].shape[1], planes[0].shape[0], pixels)
    for plane, samples in zip(frame.planes, planes, strict=True):
        row = np.ascontiguousarray(samples.astype(np.uint8 if bits == 8 else ">u2" if pixels.endswith("be") else "<u2"))
        padded = np.zeros((plane.height, plane.line_size), np.uint8)
        padded[:, : row.shape[1] * row.itemsize] = row.view(np.uint8)
        plane.update(padded)
    frame.colorspace, frame.color_range = code, 2 if full else 1
    return frame


def legal(generator, bits, full, shape=(24, 40)):
    scale = 2 ** (bits - 8)
    tops = (2**bits,) * 3 if full else (235 * scale + 1, 240 * scale + 1, 240 * scale + 1)
    return [generator.integers(0 if full else 16 * scale, top, shape) for top in tops]


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(sorted(SHARES)),
    st.sampled_from([("yuv444p", 8), ("yuv444p10le", 10), ("yuv444p12be", 12), ("yuv444p16le", 16)]),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_every_matrix_range_and_depth_is_the_formula_rounded(seed, code, pixels, full):
    planes = legal(np.random.default_rng(seed), pixels[1], full)
    error = rgb(frame_of(pixels[0], planes, code, full)) - formula(*planes, code, pixels[1], full)
    # swscale's fixed point at 8 bits; our own floating point above.
    assert np.abs(error).max() <= (0.52 if pixels[1] == 8 else 0.5 + 1e-9)


@pytest.mark.parametrize(("pixels", "bits"), [("yuv420p", 8), ("yuv420p10le", 10), ("yuv422p12le", 12), ("p010le", 10)])
@pytest.mark.parametrize("full", [False, True])
def test_chroma_of_lower_resolution_keeps_its_level(pixels, bits, full):
    y, cb, cr = (np.full((16, 16), level * 2 ** (bits - 8) + 1) for level in (120, 90, 160))
    half = (slice(None), slice(None, None, 2)) if "422" in pixels else (slice(None, None, 2), slice(None, None, 2))
    if pixels == "p010le":
        planes = [y << 6, np.stack([cb[half], cr[half]], axis=-1).reshape(8, 16) << 6]
    else:
        planes = [y, cb[half], cr[half]]
    error = rgb(frame_of(pixels, planes, 1, full)) - formula(y, cb, cr, 1, bits, full)
    assert np.abs(error).max() <= 0.52


@pytest.mark.parametrize(("pixels", "bits"), [("gray", 8), ("gray10le", 10), ("gray16be", 16)])
@pytest.mark.parametrize("full", [False, True])
def test_grey_keeps_its_range_and_is_rounded(pixels, bits, full):
    levels = np.arange(2**bits)[:: 2 ** (bits - 8) // 4 or 1].reshape(16, -1)
    found = rgb(frame_of(pixels, [levels], 1, full)).astype(float)
    neutral = np.full(levels.shape, 2 ** (bits - 1))
    assert np.abs(found - formula(levels, neutral, neutral, 1, bits, full)).max() <= 0.5 + 1e-9


@pytest.mark.parametrize(("pixels", "bits"), [("gbrp", 8), ("gbrp10le", 10), ("gbrp12le", 12), ("gbrp16le", 16)])
def test_deep_rgb_is_rounded_not_cut(pixels, bits):
    wanted = np.random.default_rng(0).integers(0, 2**bits, (16, 40, 3))
    found = rgb(frame_of(pixels, [wanted[..., 1], wanted[..., 2], wanted[..., 0]]))
    assert np.abs(found - wanted * 255 / (2**bits - 1)).max() < 0.5


@pytest.mark.parametrize("pixels", ["xyz12le", "gbrpf32le", "x2rgb10le", "rgb565le", "bayer_bggr8"])
def test_other_pixel_formats_are_refused(pixels):
    with pytest.raises(ValueError, match=f"the pixel format {pixels} is not read"):
        rgb(av.VideoFrame(16, 16, pixels))


@pytest.mark.parametrize("height", [718, 720])
@pytest.mark.parametrize("code", [0, 2, 3])
def test_a_matrix_that_says_nothing_is_decided_by_the_height(height, code):
    planes = [np.full((height, 16), level) for level in (120, 90, 160)]
    found = rgb(frame_of("yuv444p", planes, code)) - formula(*planes, 6 if height < 720 else 1, 8, False)
    assert np.abs(found).max() <= 0.52


def stored(path, code, *, primaries=2):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 16, 16, "yuv420p"
        stream.codec_context.colorspace, stream.codec_context.color_primaries = code, primaries
        frame = av.VideoFrame.from_ndarray(np.full((16, 16, 3), (200, 90, 30), np.uint8)).reformat(format="yuv420p")
        frame.pts, frame.time_base, frame.colorspace, frame.color_primaries = 0, Fraction(1, 25), code, primaries
        container.mux([*stream.encode(frame), *stream.encode(None)])
    return path


@pytest.mark.parametrize("code", [8, 10, 14])
def test_a_file_with_a_matrix_that_is_not_read_is_refused(tmp_path, code):
    path = stored(tmp_path / "clip.mp4", code)
    for ask in (video.info, video.read, lambda path: list(video.arrays(path))):
        with pytest.raises(ValueError, match=rf"clip\.mp4: .*matrix with number {code} in H\.273 is not read; allowed: 1"):
            ask(path)


def test_primaries_alone_change_no_pixel(tmp_path):
    found = [next(video.arrays(stored(tmp_path / f"{code}.mp4", 1, primaries=code))) for code in (1, 2, 9)]
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


@pytest.mark.parametrize(("pixels", "bits"), [("yuv420p", 8), ("yuv422p", 8), ("yuv420p10le", 10)])
def test_odd_sizes_keep_every_row_and_column(tmp_path, pixels, bits):
    # Planes by hand: with its default flags swscale makes 4:2:0 of 10 bits from RGB of odd width differently from run to run.
    y, cb, cr = (np.full((17, 33), level * 2 ** (bits - 8)) for level in (120, 90, 160))
    half = (slice(None), slice(None, None, 2)) if "422" in pixels else (slice(None, None, 2), slice(None, None, 2))
    frame = frame_of(pixels, [y, cb[half], cr[half]], 6)
    with av.open(str(tmp_path / "clip.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 17, 33, pixels
        stream.codec_context.colorspace, stream.codec_context.color_range = 6, 1
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        container.mux([*stream.encode(frame), *stream.encode(None)])
    found = next(video.arrays(tmp_path / "clip.mkv"))
    assert found.shape == (17, 33, 3)
    assert np.abs(found - formula(y, cb, cr, 6, bits, False)).max() <= 0.52
