"""Clips are found where copies of a set keep them, or it is said why not."""

import dataclasses
from pathlib import Path

import pytest
from PIL import Image

from oasis import cards
from oasis.cards import DatasetCard, Layout
from oasis.data import layout

REDS4 = ("000", "011", "015", "020")
UDM10 = ("archpeople", "archwall", "auditorium", "band", "caffe", "camera", "clap", "lake", "photography", "polyflow")


def png(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4)).save(folder / "0.png")
    return folder


def empty(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


@pytest.fixture
def reds4() -> DatasetCard:
    return cards.load("reds4")


@pytest.mark.parametrize(
    ("name", "role", "place", "clips"),
    [
        ("reds4", "gt", "train_sharp", REDS4),
        ("reds4", "lq", "train_sharp_bicubic/X4", REDS4),
        ("reds4", "gt", "GT", REDS4),
        ("reds4", "lq", "sharp_bicubic", REDS4),
        ("reds4", "lq", "lq", REDS4),
        ("reds4", "lq", ".", REDS4),
        ("reds4", "outputs", ".", REDS4),
        ("udm10", "gt", "GT", UDM10),
        ("udm10", "lq", "BDx4", UDM10),
        ("udm10", "gt", "GT", tuple(f"{number:03d}" for number in range(10))),
        ("udm10", "outputs", ".", tuple(f"{number:03d}" for number in range(10))),
        ("youhq40", "lq", "LQ", ("any", "name")),
        ("youhq40", "gt", "YouHQ40-Test", ("any", "name")),
        ("videolq", "lq", "VideoLQ", tuple(f"{number:03d}" for number in range(50))),
        ("builtin", "gt", "gt", tuple(cards.load("builtin").clips.names or ())),
    ],
)
def test_layouts_found_in_the_wild(tmp_path: Path, name: str, role: layout.Role, place: str, clips: tuple[str, ...]) -> None:
    for clip in clips:
        png(tmp_path / place / clip)
    found = layout.find(cards.load(name), tmp_path, role)
    assert found.clips == {clip: tmp_path / place / clip for clip in clips}
    assert (found.missing, found.extra) == ((), {})
    assert (found.layout is None) == (place == ".")


def test_frames_may_lie_below_the_clip(tmp_path: Path) -> None:
    for clip in UDM10:
        for inner in ("truth", "blur4"):
            png(tmp_path / clip / inner)
    card = cards.load("udm10")
    assert layout.find(card, tmp_path, "gt").clips["lake"] == tmp_path / "lake" / "truth"
    assert layout.find(card, tmp_path, "lq").clips["lake"] == tmp_path / "lake" / "blur4"


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".MOV"])
def test_clips_may_be_videos(tmp_path: Path, reds4: DatasetCard, suffix: str) -> None:
    paths = {clip: empty(tmp_path / f"{clip}{suffix}") for clip in REDS4}
    assert layout.find(reds4, tmp_path, "outputs").clips == paths


def test_of_equal_places_the_first_is_taken(tmp_path: Path) -> None:
    paths = {clip: png(tmp_path / "LQ" / clip) for clip in ("a", "b")}
    for clip in paths:
        empty(tmp_path / "LQ-Video" / f"{clip}.mkv")
    assert layout.find(cards.load("youhq40"), tmp_path, "lq").clips == paths


def test_clips_of_other_sets_are_extra_unless_they_belong_there(tmp_path: Path, reds4: DatasetCard) -> None:
    for clip in (*REDS4[:3], "001"):
        for place in ("train_sharp", "outputs"):
            png(tmp_path / place / clip)
    found = layout.find(reds4, tmp_path, "gt")
    assert (tuple(found.clips), found.missing, found.extra) == (REDS4[:3], ("020",), {})
    found = layout.find(reds4, tmp_path / "outputs", "outputs")
    assert (tuple(found.clips), found.missing) == (REDS4[:3], ("020",))
    assert found.extra == {"001": tmp_path / "outputs" / "001"}


def test_a_clip_that_is_there_twice_is_refused(tmp_path: Path, reds4: DatasetCard) -> None:
    png(tmp_path / "000")
    empty(tmp_path / "000.mp4")
    with pytest.raises(ValueError, match=r"000 and 000\.mp4 would both be the clip '000'"):
        layout.find(reds4, tmp_path, "outputs")
    with pytest.raises(ValueError, match=r"000 and 000\.mp4 would both be the clip '000'"):
        layout.folder_card("mine", tmp_path)


def test_nothing_is_chosen_among_layouts(tmp_path: Path) -> None:
    for place in ("GT", "BIx4", "BDx4"):
        png(tmp_path / place / "walk")
    card = cards.load("vid4")
    assert layout.find(card, tmp_path, "gt").clips == {"walk": tmp_path / "GT" / "walk"}
    with pytest.raises(
        ValueError, match=r"clips of vid4 lie at BIx4/\{clip\} and at BDx4/\{clip\}; give the folder that is meant"
    ):
        layout.find(card, tmp_path, "lq")
    assert [found.place for found in layout.find_all(card, tmp_path, "lq")] == ["BIx4/{clip}", "BDx4/{clip}"]
    assert layout.find(card, tmp_path / "BDx4", "lq").clips == {"walk": tmp_path / "BDx4" / "walk"}


def test_what_cannot_be_found(tmp_path: Path, reds4: DatasetCard) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        layout.find(reds4, tmp_path / "nowhere", "gt")
    with pytest.raises(ValueError, match="videolq has no ground truth"):
        layout.find(cards.load("videolq"), tmp_path, "gt")
    (tmp_path / "000").mkdir()
    (tmp_path / "notes.txt").touch()
    (tmp_path / ".hidden").touch()
    with pytest.raises(FileNotFoundError) as caught:
        layout.find(reds4, tmp_path, "gt")
    assert str(caught.value) == (
        f"{tmp_path}: none of the 4 clips of reds4 (000, 011, 015, 020) is there; looked for folders of PNG and videos at "
        "train_sharp/{clip}, GT/{clip}, gt/{clip}, {clip}; the folder holds (000, notes.txt)"
    )


def test_a_folder_that_cannot_be_looked_into_is_no_missing_clip(
    tmp_path: Path, reds4: DatasetCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    png(tmp_path / "000")
    monkeypatch.setattr(layout.os, "scandir", closed)
    assert layout.find(reds4, tmp_path, "outputs").clips == {"000": tmp_path / "000"}


def test_a_card_for_any_folder(tmp_path: Path) -> None:
    png(tmp_path / "b")
    empty(tmp_path / "a.mkv")
    empty(tmp_path / "notes.txt")
    (tmp_path / "empty").mkdir()
    card = layout.folder_card("mine", tmp_path, has_gt=False)
    assert (card.name, card.task, card.has_gt, card.scale) == ("mine", "own", False, None)
    assert (card.clips.names, card.clips.count, card.clips.lengths("a")) == (("a", "b"), 2, ())
    assert layout.find(card, tmp_path, "lq").clips == {"a": tmp_path / "a.mkv", "b": tmp_path / "b"}
    assert layout.find(layout.folder_card("mine", tmp_path), tmp_path, "gt").missing == ()
    assert cards.describe(card).startswith("mine (mine)\n")
    with pytest.raises(FileNotFoundError, match=r"no clips; looked for \.264.* and folders of \*\.png"):
        layout.folder_card("mine", tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        layout.folder_card("mine", tmp_path / "nowhere")


def test_a_second_set_of_names_is_its_own_layout(tmp_path: Path, reds4: DatasetCard) -> None:
    named = Layout(used_by="x", gt=("GT/{clip}",), lq=(), names=("a", "b", "c", "d"))
    card = dataclasses.replace(reds4, layouts=(named,))
    png(tmp_path / "GT" / "a")
    found = layout.find(card, tmp_path, "gt")
    assert (tuple(found.clips), found.missing, found.layout) == (("a",), ("b", "c", "d"), named)
