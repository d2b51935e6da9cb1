"""A clip on disk is described without being trusted."""

import random
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from oasis import video
from oasis.cards import Size
from oasis.data.stored import Stored, look


def frames(folder: Path, numbers: list[int], name: str = "{:04d}.png", size: tuple[int, int] = (8, 6)) -> Path:
    folder.mkdir(exist_ok=True)
    image = Image.effect_noise(size, 50).convert("RGB")
    for number in numbers:
        image.save(folder / name.format(number))
    return folder


def kinds(clip: Stored) -> list[str]:
    return [kind for kind, _ in clip.wrong]


@pytest.mark.parametrize("name", ["{:08d}.png", "frame_{}.png", "im{:03d}.png"])
@pytest.mark.parametrize("first", [0, 1, 95])
def test_a_whole_clip_has_nothing_wrong(tmp_path: Path, name: str, first: int) -> None:
    path = frames(tmp_path / "clip", list(range(first, first + 12)), name)
    for ignored in (".DS_Store", "Thumbs.db", "._0001.png"):
        (path / ignored).touch()
    assert look(path) == Stored(path, 12, 0, (Size(8, 6),), ())


@settings(max_examples=25)
@given(kept=st.sets(st.integers(0, 30), min_size=1))
def test_gaps_are_counted_and_named(tmp_path_factory: pytest.TempPathFactory, kept: set[int]) -> None:
    clip = look(frames(tmp_path_factory.mktemp("clip"), sorted(kept), size=(1, 1)))
    absent = set(range(min(kept), max(kept))) - kept
    assert (clip.frames, clip.gaps, kinds(clip)) == (len(kept), len(absent), ["frames"] * bool(absent))
    if absent:
        runs = clip.wrong[0][1].split(f"of frames {min(kept)} to {max(kept)}, ")[1].removesuffix(" missing").split(", ")
        spans = [[int(number) for number in run.split(" to ")] for run in runs]
        assert {number for span in spans for number in range(span[0], span[-1] + 1)} == absent


def test_numbers_far_apart_take_no_memory(tmp_path: Path) -> None:
    clip = look(frames(tmp_path, [0, 10**15], "{}.png"))
    assert clip.gaps == 10**15 - 1
    assert "1 to 999999999999999 missing" in clip.wrong[0][1]


def test_what_is_no_frame_is_named(tmp_path: Path) -> None:
    frames(tmp_path, [0, 1])
    frames(tmp_path, [1], "frame_{}.png")
    (tmp_path / "cover.png").touch()
    (tmp_path / "0002.PNG").touch()
    (tmp_path / "notes.txt").touch()
    (tmp_path / "0003.png").mkdir()
    clip = look(tmp_path)
    said = " ".join(message for _, message in clip.wrong)
    assert (clip.frames, clip.sizes, set(kinds(clip))) == (2, (Size(8, 6),), {"extra"})
    assert "0001.png and frame_1.png all have the number 1" in said
    for name in ("cover.png: the name of a frame must end in a number", "0002.PNG: no", "notes.txt: no", "0003.png: no"):
        assert name in said


def test_sizes_are_compared(tmp_path: Path) -> None:
    frames(tmp_path, [0, 1, 2])
    frames(tmp_path, [3], size=(8, 7))
    clip = look(tmp_path)
    assert clip.sizes == (Size(8, 6), Size(8, 7))
    assert clip.wrong == (("size", f"{tmp_path / '0003.png'}: 8x7, most frames of the clip are 8x6"),)


@pytest.mark.parametrize("kept", [0, 5, 30, 60, 0.5, 0.99, -1, -12])
def test_a_frame_that_is_cut_off(tmp_path: Path, kept: float) -> None:
    frames(tmp_path, [0, 1])
    whole = (tmp_path / "0001.png").read_bytes()
    (tmp_path / "0001.png").write_bytes(whole[: int(kept * len(whole)) if 0 < kept < 1 else int(kept)])
    clip = look(tmp_path)
    assert kinds(clip) == ["damaged"]
    assert str(tmp_path / "0001.png") in clip.wrong[0][1]


def test_bytes_after_the_end_do_no_harm(tmp_path: Path) -> None:
    frames(tmp_path, [0])
    with open(tmp_path / "0000.png", "ab") as file:
        file.write(b"more")
    assert look(tmp_path).wrong == ()


def test_other_pictures_under_the_name_of_a_png(tmp_path: Path) -> None:
    frames(tmp_path, [0])
    Image.new("RGB", (8, 6)).save(tmp_path / "0001.png", format="JPEG")
    Image.new("I;16", (8, 6)).save(tmp_path / "0002.png")
    clip = look(tmp_path)
    assert kinds(clip) == ["damaged", "damaged"]
    assert "0001.png: not a PNG of 8 bits" in clip.wrong[0][1] and "mode 'I;16'" in clip.wrong[1][1]


def test_any_damage_is_said_and_never_raised(tmp_path: Path) -> None:
    whole = (frames(tmp_path, [0]) / "0000.png").read_bytes()
    chance = random.Random(0)
    for _ in range(200):
        changed = bytearray(whole)
        for _ in range(chance.randint(1, 8)):
            changed[chance.randrange(min(60, len(changed)))] = chance.randrange(256)
        (tmp_path / "0000.png").write_bytes(changed[: chance.randint(0, len(changed))])
        clip = look(tmp_path)
        assert clip.frames == 1 and (clip.sizes or kinds(clip) == ["damaged"])


def test_videos_are_decoded(tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    video.write(path, torch.zeros((5, 3, 16, 24), dtype=torch.uint8), 25)
    assert look(path) == Stored(path, 5, 0, (Size(24, 16),), ())
    path.write_bytes(path.read_bytes()[:-100])
    assert kinds(look(path)) == ["damaged"]
    path.write_bytes(b"")
    assert kinds(look(path)) == ["damaged"]


def test_a_folder_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", closed)
    assert look(tmp_path).wrong == (("damaged", f"{tmp_path}: cannot be read (Permission denied)"),)
