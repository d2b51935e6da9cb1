"""A copy of a set is compared with its card: every fault is found, and named by clip and frame."""

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from oasis import cards, video
from oasis.cards import Clips, DatasetCard, Layout, Size
from oasis.data import layout
from oasis.data.check import Finding, check

CARD = dataclasses.replace(
    cards.load("builtin"),
    name="little",
    clips=Clips(names=("a", "b"), count=2, frames=(3,), total_frames=6),
    hr_size=Size(16, 8),
    lr_size=Size(4, 2),
    layouts=(
        Layout(used_by="x", gt=("GT/{clip}",), lq=("BIx4/{clip}",)),
        Layout(used_by="y", gt=("GT/{clip}",), lq=("BDx4/{clip}",)),
    ),
)


def frame(path: Path, size: Size | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size or (5, 5)).save(path)


def copy(root: Path, card: DatasetCard = CARD, lq: str = "BIx4") -> Path:
    for clip in card.clips.names or ():
        for number in range(card.clips.lengths(clip)[0]):
            frame(root / "GT" / clip / f"{number:04d}.png", card.size("hr_size", clip))
            frame(root / lq / clip / f"{number:04d}.png", card.size("lr_size", clip))
    return root


def short(findings: list[Finding]) -> list[tuple[str, str, str]]:
    return [(finding.role, finding.clip, finding.kind) for finding in findings]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return copy(tmp_path)


def test_nothing_is_wrong_with_a_whole_copy(root: Path) -> None:
    assert check(CARD, root) == []
    copy(root, lq="BDx4")
    assert check(CARD, root) == []
    assert check(CARD, root / "GT") == check(CARD, root / "BIx4", "lq") == check(CARD, root / "GT", "outputs") == []


def test_nothing_is_wrong_with_a_copy_of_vid4(tmp_path: Path) -> None:
    card = dataclasses.replace(cards.load("vid4"), hr_size=Size(8, 4), lr_size=Size(2, 1))
    assert check(card, copy(tmp_path, card)) == []


def test_every_fault_is_named(root: Path) -> None:
    (root / "GT/a/0001.png").unlink()
    (root / "GT/b/0002.png").unlink()
    (root / "BIx4/a/0000.png").write_bytes((root / "BIx4/a/0000.png").read_bytes()[:-12])
    frame(root / "BIx4/b/0001.png", Size(3, 2))
    frame(root / "BIx4/c/0000.png", Size(4, 2))
    findings = check(CARD, root)
    assert [(*key, finding.message) for key, finding in zip(short(findings), findings, strict=True)] == [
        ("gt", "a", "frames", f"{root}/GT/a: of frames 0 to 2, 1 missing"),
        ("gt", "b", "frames", f"{root}/GT/b: 2 frames, the card says 3"),
        ("lq", "c", "extra", f"{root}/BIx4/c: little has no such clip"),
        (
            "lq",
            "a",
            "damaged",
            f"{root}/BIx4/a/0000.png: not a PNG of 8 bits, damaged or cut off (its end is missing)",
        ),
        ("lq", "b", "size", f"{root}/BIx4/b/0001.png: 3x2, most frames of the clip are 4x2"),
    ]


def test_missing_clips(root: Path) -> None:
    shutil.rmtree(root / "GT/a")
    for path in (root / "BIx4/b").iterdir():
        path.unlink()
    findings = check(CARD, root)
    assert short(findings) == [("gt", "a", "missing"), ("lq", "b", "missing")]
    assert findings[0].message == f"{root}/GT/a: no such folder, and no video of that name"
    assert findings[1].message == f"{root}/BIx4/b: a folder without PNG"


@settings(max_examples=40)
@given(
    fault=st.sampled_from(["clip", "frame", "size", "cut", "extra clip", "extra file"]),
    place=st.sampled_from(["GT", "BIx4"]),
    clip=st.sampled_from(["a", "b"]),
    number=st.integers(0, 2),
)
def test_one_fault_gives_one_finding(
    tmp_path_factory: pytest.TempPathFactory, fault: str, place: str, clip: str, number: int
) -> None:
    root = copy(tmp_path_factory.mktemp("copy"))
    folder = root / place / clip
    file = folder / f"{number:04d}.png"
    if fault == "clip":
        shutil.rmtree(folder)
    elif fault == "frame":
        file.unlink()
    elif fault == "size":
        frame(file, Size(7, 7))
    elif fault == "cut":
        file.write_bytes(file.read_bytes()[:50])
    elif fault == "extra clip":
        folder = folder.with_name("c")
        frame(folder / "0.png", Size(1, 1))
    else:
        file = folder / "notes.txt"
        file.touch()
    kind = {"clip": "missing", "frame": "frames", "size": "size", "cut": "damaged"}.get(fault, "extra")
    (finding,) = check(CARD, root)
    assert (finding.role, finding.clip, finding.kind) == ("gt" if place == "GT" else "lq", folder.name, kind)
    named = file if fault in ("size", "cut", "extra file") else folder
    assert finding.message.startswith(f"{named}: ")


def test_a_clip_of_another_size_is_one_finding_and_doubt_is_said(root: Path) -> None:
    for number in range(3):
        frame(root / f"BIx4/a/{number:04d}.png", Size(4, 3))
    (finding,) = check(CARD, root)
    assert finding.message == f"{root}/BIx4/a: frames of 4x3, the card says 4x2"
    (finding,) = check(dataclasses.replace(CARD, uncertain=("lr_size",)), root)
    assert finding.message.endswith("the card says 4x2 (unconfirmed)")


def test_pairs_must_fit_where_the_card_knows_nothing(root: Path) -> None:
    clips = dataclasses.replace(CARD.clips, frames=(), total_frames=None)
    card = dataclasses.replace(CARD, clips=clips, hr_size=None, lr_size=None)
    assert check(card, root) == []
    (root / "BIx4/a/0002.png").unlink()
    for number in range(3):
        frame(root / f"GT/b/{number:04d}.png", Size(16, 12))
    findings = check(card, root)
    assert [finding.message for finding in findings] == [
        f"{root}/BIx4/a: 2 frames, its ground truth has 3",
        f"{root}/BIx4/b: frames of 4x2, x4 of that is not the 16x12 of its ground truth",
    ]


def test_names_from_the_folder(root: Path) -> None:
    card = dataclasses.replace(CARD, clips=dataclasses.replace(CARD.clips, names=None))
    assert check(card, root) == []
    shutil.rmtree(root / "GT/a")
    (finding,) = check(card, root)
    assert finding == Finding(role="gt", clip="", kind="missing", message=f"{root}: 1 clips at GT/{{clip}}, the card says 2")


def test_the_total_tells_what_lengths_do_not(root: Path) -> None:
    clips = dataclasses.replace(CARD.clips, frames=(2, 3), total_frames=6)
    card = dataclasses.replace(CARD, clips=clips)
    assert check(card, root) == []
    (root / "GT/b/0002.png").unlink()
    findings = check(card, root)
    assert [finding.message for finding in findings] == [
        f"{root}: 5 frames at GT/{{clip}}, the card says 6",
        f"{root}/BIx4/b: 3 frames, its ground truth has 2",
    ]


def test_what_is_not_there_at_all(root: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        check(CARD, root / "nowhere")
    (root / "empty").mkdir()
    findings = check(CARD, root / "empty")
    assert short(findings) == [("gt", "", "missing"), ("lq", "", "missing")]
    assert "none of the 2 clips of little (a, b) is there" in findings[0].message
    shutil.rmtree(root / "BIx4")
    assert short(check(CARD, root)) == [("lq", "", "missing")]
    assert check(CARD, root, "gt") == []


def test_a_set_without_ground_truth_is_lq_only(root: Path) -> None:
    card = dataclasses.replace(CARD, task="real-no-gt", has_gt=False, hr_size=None)
    assert check(card, root / "BIx4") == []
    (root / "BIx4/a/0002.png").unlink()
    assert short(check(card, root)) == [("lq", "a", "frames")]


def test_videos_are_counted(tmp_path: Path) -> None:
    for clip, count in (("a", 3), ("b", 2)):
        video.write(tmp_path / f"{clip}.mkv", torch.zeros((count, 3, 8, 16), dtype=torch.uint8), 25)
    (finding,) = check(CARD, tmp_path, "outputs")
    assert finding == Finding(role="outputs", clip="b", kind="frames", message=f"{tmp_path}/b.mkv: 2 frames, the card says 3")


def test_any_folder_fits_the_card_made_from_it(root: Path) -> None:
    assert check(layout.folder_card("mine", root / "GT"), root / "GT") == []
