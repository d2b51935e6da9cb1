from fractions import Fraction

import pytest
import torch

from oasis import video
from oasis.data import builtin, clips


@pytest.fixture
def frames():
    return torch.randint(0, 256, (2, 3, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def test_builtin_clips_come_in_order_with_their_originals():
    loaded = clips.load("builtin")
    clip = next(loaded)
    expected = builtin.make(builtin.names()[0])
    assert clip.name == expected.name
    assert (clip.lq.shape, clip.hr.shape) == ((17, 3, 48, 80), (17, 3, 192, 320))
    assert torch.equal(clip.hr[3, 1], torch.from_numpy(expected.hr[3, :, :, 1]))
    assert next(loaded).name == builtin.names()[1]


def test_a_folder_of_clips_is_sorted(tmp_path, frames):
    for name in ("b.mkv", "a.mp4", "c"):
        video.write(tmp_path / name, frames, 30)
    (tmp_path / "notes.md").write_text("not a clip")
    loaded = list(clips.load(tmp_path))
    assert [clip.name for clip in loaded] == ["a", "b", "c"]
    assert [clip.fps for clip in loaded] == [Fraction(30), Fraction(30), video.FPS]
    assert all(clip.hr is None for clip in loaded)
    assert torch.equal(loaded[1].lq, frames)


@pytest.mark.parametrize("name", ["one.mkv", "pngs"])
def test_one_clip(tmp_path, frames, name):
    video.write(tmp_path / name, frames, 30)
    (clip,) = clips.load(str(tmp_path / name))
    assert clip.name == name.removesuffix(".mkv")
    assert torch.equal(clip.lq, frames)


def test_what_is_not_there_is_named_at_once(tmp_path, frames):
    with pytest.raises(
        FileNotFoundError, match="nowhere: no such file or folder, and not one of builtin, builtin-train, builtin-test"
    ):
        clips.load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"no clips; looked for \.264.*folders of \*\.png"):
        clips.load(tmp_path)
    for name in ("a.mp4", "a.mkv"):
        video.write(tmp_path / name, frames, 30)
    with pytest.raises(ValueError, match=r"a\.mkv and a\.mp4 would both be the clip 'a'"):
        clips.load(tmp_path)
