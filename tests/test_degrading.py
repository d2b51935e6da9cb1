"""`oasis degrade`: clips on disk in, low quality and records out."""

import json
import os

import numpy as np
import pytest
import torch
from PIL import Image

from oasis import video
from oasis.cli import main
from oasis.data.hashes import content
from oasis.degrade import named


def pixels(frames=3, height=24, width=32, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (frames, height, width, 3), dtype=np.uint8)


def write(path, **sizes):
    video.write(path, torch.from_numpy(pixels(**sizes)).permute(0, 3, 1, 2), 24)
    return path


def run(*arguments):
    return main(["degrade", *map(str, arguments), "--workers", "1"])


def refused(capsys, *arguments):
    assert run(*arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1
    return said


def stored(folder):
    """Every file with its bytes and, to see what was written again, its inode."""
    return {path: (path.read_bytes(), path.stat().st_ino) for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("name", named.NAMES)
def test_the_record_holds_all_that_makes_the_clip_again(tmp_path, name):
    clip, out = write(tmp_path / "a.mkv"), tmp_path / "lq.mkv"
    assert run(clip, out, "--recipe", name, "--seed", 3) == 0
    record = json.loads((tmp_path / "lq.mkv.json").read_text())
    found = video.read(out)
    expected = np.stack(list(named.apply(record["recipe"], pixels(), record["noise_seed"])))
    np.testing.assert_array_equal(found.frames.permute(0, 2, 3, 1).numpy(), expected)
    assert found.fps == 24
    assert record["lq_sha256"] == content(video.stream(out)).sha256
    assert record["source_sha256"] == content(video.stream(clip)).sha256
    assert (record["clip"], record["seed"], record["cropped_from"]) == ("a", 3, None)
    assert named.load(tmp_path / "lq.mkv.json") == record["recipe"]
    assert record["noise_seed"] == named.seeded("a", 3)[1]
    assert run(clip, tmp_path / "again.mkv", "--recipe", tmp_path / "lq.mkv.json", "--seed", 3) == 0
    assert (tmp_path / "again.mkv").read_bytes() == out.read_bytes()


@pytest.mark.parametrize(("out", "record"), [("lq.mkv", "lq.mkv.json"), ("lq.mp4", "lq.mp4.json"), ("lq", "lq/recipe.json")])
def test_output_is_a_file_or_a_folder_and_sides_are_cropped_aloud(tmp_path, capsys, out, record):
    clip = write(tmp_path / "a", height=27, width=33)
    assert run(clip, tmp_path / out) == 0
    assert "of 33x27 pixels only 32x24 were used, cropped at the right and bottom" in capsys.readouterr().out
    written = json.loads((tmp_path / record).read_text())
    assert written["cropped_from"] == [27, 33]
    assert written["lq_sha256"] == content(video.stream(tmp_path / out)).sha256
    assert video.read(tmp_path / out).frames.shape == (3, 3, 6, 8)


def test_several_clips_in_worker_processes_are_those_of_one_and_are_not_made_again(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    for number, name in enumerate(("a.mkv", "b", "c.mkv")):
        write(tmp_path / "in" / name, seed=number)
    (tmp_path / "in/.a.half.mkv").write_bytes(b"what a killed run leaves")
    for out, workers in (("one", 1), ("two", 2)):
        assert main(["degrade", *map(str, (tmp_path / "in", tmp_path / out)), "--workers", str(workers)]) == 0
    one, two = stored(tmp_path / "one"), stored(tmp_path / "two")
    names = ["a.mkv", "a.mkv.json", "b.mkv", "b.mkv.json", "c.mkv", "c.mkv.json"]
    assert [path.name for path in one] == names
    assert [content for content, _ in one.values()] == [content for content, _ in two.values()]

    (tmp_path / "one/b.mkv.json").unlink()  # as a run that was stopped leaves it
    write(tmp_path / "one/c.mkv", seed=9)  # and a clip that is not what its record says
    capsys.readouterr()
    assert run(tmp_path / "in", tmp_path / "one") == 0
    assert [line.count("was there already") for line in capsys.readouterr().out.splitlines()] == [1, 0, 0]
    again = stored(tmp_path / "one")
    assert {path: found[0] for path, found in again.items()} == {path: found[0] for path, found in one.items()}
    assert again[tmp_path / "one/a.mkv"] == one[tmp_path / "one/a.mkv"]
    assert run(tmp_path / "in", tmp_path / "one", "--seed", 1) == 0
    assert not set(stored(tmp_path / "one").values()) & set(again.values())


@pytest.mark.parametrize("name", ["standard", "inconsistent", "bd"])
def test_the_sheet_is_a_picture(tmp_path, capsys, name):
    assert run(write(tmp_path / "a.mkv"), tmp_path / "lq.mkv", "--recipe", name, "--sheet", tmp_path / "s.png") == 0
    assert str(tmp_path / "s.png") in capsys.readouterr().out
    with Image.open(tmp_path / "s.png") as sheet:
        shown = {tuple(colour) for colour in np.unique(np.asarray(sheet.convert("RGB")).reshape(-1, 3), axis=0)}
    rows = [frame[frame.shape[0] // 2] for frame in video.arrays(tmp_path / "lq.mkv")]
    assert {tuple(colour) for row in rows for colour in row} <= shown
    clean = pixels()[0, 8:15, 12:19]  # the middle 0.3 of the first frame
    assert {tuple(colour) for row in clean for colour in row} <= shown


def test_what_does_not_fit_is_one_sentence_and_leaves_nothing(tmp_path, capsys):
    clip, out = write(tmp_path / "a.mkv"), tmp_path / "lq.mkv"
    (tmp_path / "file").write_text("")
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(clip.read_bytes()[:-200])
    tiny = write(tmp_path / "tiny.mkv", height=3)
    longer = write(tmp_path / "longer.mkv", frames=4)
    assert run(clip, tmp_path / "made.mkv", "--recipe", "dove") == 0
    changed = json.loads((tmp_path / "made.mkv.json").read_text())
    changed["recipe"]["drawn"]["stages"][1]["height"][0] = 0
    (tmp_path / "bad.json").write_text(json.dumps(changed))
    before = stored(tmp_path)

    assert "cut.mkv: " in refused(capsys, cut, out)
    assert "tiny.mkv: 32x3 pixels; allowed: at least 4x4" in refused(capsys, tiny, out)
    assert "none.mkv: no such file" in refused(capsys, tmp_path / "none.mkv", out)
    assert "--recipe is 'nice'; allowed: standard, " in refused(capsys, clip, out, "--recipe", "nice")
    assert "none.json: No such file" in refused(capsys, clip, out, "--recipe", tmp_path / "none.json")
    said = refused(capsys, clip, out, "--recipe", tmp_path / "bad.json")
    assert "bad.json: field 'drawn.stages[1].height[0]' is 0; allowed: a whole number from 1 to 16384" in said
    said = refused(capsys, longer, out, "--recipe", tmp_path / "made.mkv.json")
    assert "longer.mkv: 4 frames of 32x24 pixels; the recipe is for 3 frames of 32x24" in said
    assert "the input would be lost" in refused(capsys, clip, clip)
    assert "cannot write '.avi'" in refused(capsys, clip, tmp_path / "lq.avi")
    assert "but a folder is to be written" in refused(capsys, clip, tmp_path / "file")
    assert "no folder" in refused(capsys, clip, tmp_path / "nowhere/lq.mkv")
    assert "allowed: a folder, whose name has no suffix" in refused(capsys, tmp_path, out)
    assert "--sheet is s.jpg; allowed: a name that ends in .png" in refused(capsys, clip, out, "--sheet", "s.jpg")
    said = refused(capsys, clip, out, "--sheet", tmp_path / "nowhere/s.png")
    assert "nowhere/s.png; allowed: a name that ends in .png, in a folder that exists" in said
    assert "--workers is 0" in (main(["degrade", str(clip), str(out), "--workers", "0"]), capsys.readouterr().err)[1]
    assert stored(tmp_path) == before


def test_a_corrupt_clip_among_others_is_named_and_the_others_stay(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    write(tmp_path / "in/a.mkv")
    (tmp_path / "in/b.mkv").write_bytes(b"no video")
    assert "b.mkv: " in refused(capsys, tmp_path / "in", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.mkv", "a.mkv.json"]


def test_a_place_that_cannot_be_written_is_named(tmp_path, capsys):
    clip, shut = write(tmp_path / "a.mkv"), tmp_path / "shut"
    shut.mkdir(mode=0o500)
    if os.access(shut, os.W_OK):
        pytest.skip("this user may write anywhere")
    assert f"{shut / 'lq.mkv'}: Permission denied" in refused(capsys, clip, shut / "lq.mkv")
