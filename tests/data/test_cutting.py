"""What is taken of clips: the middle, the ground truth with it, and one clip as all of them."""

import pytest
import torch

from oasis.data import cutting
from oasis.data.cutting import Cut


def test_the_ground_truth_is_cut_with_the_clip():
    (clip,) = cutting.take("builtin-test", Cut(frames=5, crop=(32, 48), clips=1))
    assert clip.hr is not None and clip.hr.shape == (5, 3, 128, 192) and clip.lq.shape == (5, 3, 32, 48)
    small = torch.nn.functional.avg_pool2d(clip.hr.float(), 4)
    apart = (small - clip.lq.float()).abs().mean()
    assert apart < 0.5 * (small - clip.lq.float().roll(8, dims=-1)).abs().mean()  # the same place, not another


def test_one_clip_is_as_in_all_and_the_splits_share_none():
    cut = Cut(frames=2, crop=(8, 8))
    every = cutting.take("builtin-train", Cut(frames=2, crop=(8, 8), clips=2))
    again = cutting.one("builtin-train", cut, 1)
    assert again.name == every[1].name and torch.equal(again.lq, every[1].lq)
    assert not {clip.name for clip in every} & {clip.name for clip in cutting.take("builtin-test", cut)}


def test_what_is_too_little_is_refused():
    with pytest.raises(ValueError, match="allowed: at least 1 each"):
        Cut(frames=0)
