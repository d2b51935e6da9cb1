import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oasis.degrade import codec

CODECS = ("libx264", "mpeg4")


def pattern(height, width, seed=0):
    coarse = np.random.default_rng(seed).uniform(40, 215, (-(-height // 8), -(-width // 8), 3))
    return coarse.repeat(8, axis=0).repeat(8, axis=1)[:height, :width].astype(np.float32)


def distance(one, other):
    return float(np.abs(one - other).mean())


def test_jpeg_of_lower_quality_is_farther_away():
    frame = pattern(48, 64) + np.random.default_rng(1).normal(0, 8, (48, 64, 3)).astype(np.float32)
    far = [distance(codec.jpeg(frame, quality), frame) for quality in (95, 60, 30)]
    assert 0 < far[0] < far[1] < far[2]


def test_jpeg_keeps_colours_and_clamps_what_no_picture_holds():
    frame = np.full((16, 16, 3), (300, 40, -60), np.float32)
    for swapped in (False, True):
        found = codec.jpeg(frame, 95, swapped=swapped)
        assert found.dtype == np.float32
        assert distance(found, np.float32((255, 40, 0))) < 3


def test_swapped_channels_matter_for_colours_only():
    frame = pattern(48, 64)
    assert distance(codec.jpeg(frame, 50), codec.jpeg(frame, 50, swapped=True)) > 0.2
    grey = np.repeat(frame[..., :1], 3, axis=-1)
    np.testing.assert_array_equal(codec.jpeg(grey, 50), codec.jpeg(grey, 50, swapped=True))


@settings(max_examples=12, deadline=None)
@given(name=st.sampled_from(CODECS), frames=st.integers(1, 6), height=st.integers(2, 33), width=st.integers(2, 33))
def test_as_many_frames_of_the_same_size_come_out(name, frames, height, width):
    clip = [pattern(height, width, seed) for seed in range(frames)]
    found = list(codec.video(iter(clip), name, 100_000))
    assert [(frame.shape, frame.dtype) for frame in found] == [((height, width, 3), np.float32)] * frames


@pytest.mark.parametrize("name", CODECS)
def test_a_long_clip_stays_in_order(name):
    levels = np.linspace(20, 230, 70)
    found = list(codec.video((np.full((32, 32, 3), level, np.float32) for level in levels), name, 50_000))
    np.testing.assert_allclose([frame.mean() for frame in found], levels, atol=4)


@pytest.mark.parametrize("name", CODECS)
def test_colours_stay_and_fewer_bits_are_farther_away(name):
    rough = 140 + 20 * np.random.default_rng(1).standard_normal((24, 64, 96, 1), dtype=np.float32)
    clip = list(rough - np.float32((0, 20, 50)))
    near, far = (list(codec.video(clip, name, bitrate)) for bitrate in (100_000, 2_000))
    assert distance(near[0].mean(axis=(0, 1)), clip[0].mean(axis=(0, 1))) < 1.5
    assert distance(near[-1], clip[-1]) < 0.5 * distance(far[-1], clip[-1])  # rate control of mpeg4 takes its time
    np.testing.assert_array_equal(np.stack(near), np.stack(list(codec.video(clip, name, 100_000))))


def test_frames_take_the_size_of_the_first():
    ramp = [np.broadcast_to(np.linspace(0, 255, width)[None, :, None], (32, width, 3)) for width in (40, 44, 36)]
    found = list(codec.video([frame.astype(np.float32) for frame in ramp], "libx264", 100_000))
    assert [frame.shape for frame in found] == [(32, 40, 3)] * 3
    assert distance(found[1], found[0]) < 3


def test_overshoot_is_clamped_or_wrapped():
    frame = np.full((32, 32, 3), 128, np.float32)
    frame[:16], frame[16:] = 300, -40
    (clamped,) = codec.video([frame], "libx264", 100_000)
    assert clamped[4:12].min() > 240 and clamped[20:28].max() < 15
    (wrapped,) = codec.video([frame], "libx264", 100_000, wrap=True)
    assert wrapped[4:12].mean() == pytest.approx(300 - 256, abs=4)
    assert wrapped[20:28].mean() == pytest.approx(256 - 40, abs=4)
