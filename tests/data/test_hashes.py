import hashlib

import numpy as np
import pytest
import torch

from oasis import video
from oasis.data import hashes


def frames(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def test_the_hash_is_of_all_pixels_and_the_sizes():
    clip = frames(2, 3, 4, 6)
    pixels = clip.permute(0, 2, 3, 1).numpy().tobytes()
    expected = hashlib.sha256(pixels + b"2 4 6\n").hexdigest()
    assert hashes.content(iter(clip)) == (2, 4, 6, expected)
    assert hashes.rgb_sha256(clip) == expected
    assert hashes.rgb_sha256(clip.reshape(2, 3, 6, 4)) != expected


def test_a_lossless_copy_has_the_same_hash(tmp_path):
    clip = frames(3, 3, 8, 10)
    for name in ("a.mkv", "pngs"):
        video.write(tmp_path / name, clip, 25)
        assert hashes.rgb_sha256(video.stream(tmp_path / name)) == hashes.rgb_sha256(clip)


def test_what_is_no_clip_is_refused():
    with pytest.raises(ValueError, match="without frames"):
        hashes.content([])
    with pytest.raises(ValueError, match="frame 1 has 6x4 pixels, those before 4x6"):
        hashes.content([frames(3, 6, 4), frames(3, 4, 6)])
