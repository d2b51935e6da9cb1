import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from oasis import video
from oasis.data import builtin, hashes, prepare
from oasis.degrade import classic, second_order


def clip(frames=3, height=24, width=32, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (frames, height, width, 3), dtype=np.uint8)


def tensor(pixels):
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def read(path):
    return video.read(path).frames.permute(0, 2, 3, 1).numpy()


def stored(folder):
    """Every file with its bytes and, to see what was written again, its inode."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_ino) for path in files}


def run(out, recipe="bi", seed=0, dataset="set", **clips):
    return prepare.prepare(clips, out, dataset=dataset, recipe=recipe, seed=seed)


@pytest.mark.parametrize("recipe", prepare.RECIPES)
def test_lq_is_what_the_recipe_makes_and_the_record_says_so(tmp_path, recipe):
    video.write(tmp_path / "a.mkv", tensor(clip()), 25)
    record = run(tmp_path / "out", recipe, a=tmp_path / "a.mkv")
    found = read(tmp_path / "out/lq/a")
    if recipe in prepare.FIXED:
        expected = classic.bi(clip()) if recipe == "bi" else classic.bd(clip(), recipe.removeprefix("bd-"))
        assert not (tmp_path / "out/recipes").exists()
    else:
        drawn = json.loads((tmp_path / "out/recipes/a.json").read_text())
        assert drawn["recipe"]["variant"]["name"] == recipe
        expected = np.stack(list(second_order.apply(drawn["recipe"], clip(), drawn["noise_seed"])))
    np.testing.assert_array_equal(found, expected)
    assert record == json.loads((tmp_path / "out/prepared.json").read_text())
    assert {name: record[name] for name in record if name != "clips"} == {
        "format": 1,
        "dataset": "set",
        "recipe": recipe,
        "seed": 0,
    }
    entry = record["clips"]["a"]
    assert (entry["frames"], entry["height"], entry["width"], entry["cropped_from"]) == (3, 24, 32, None)
    assert entry["gt_sha256"] == hashes.rgb_sha256(tensor(clip()))
    assert entry["lq_sha256"] == hashes.rgb_sha256(tensor(expected))
    assert {"oasis", "numpy", "opencv", "av", "libavcodec", "libswscale"} <= set(entry["versions"])
    assert not (tmp_path / "out/gt").exists()


def test_sides_that_do_not_fit_are_cropped_at_the_right_and_bottom(tmp_path):
    video.write(tmp_path / "odd", tensor(clip(2, 27, 33)), 25)
    entry = run(tmp_path / "out", odd=tmp_path / "odd")["clips"]["odd"]
    assert (entry["height"], entry["width"], entry["cropped_from"]) == (24, 32, [27, 33])
    np.testing.assert_array_equal(read(tmp_path / "out/gt/odd"), clip(2, 27, 33)[:, :24, :32])
    assert entry["gt_sha256"] == hashes.rgb_sha256(video.stream(tmp_path / "out/gt/odd"))
    assert read(tmp_path / "out/lq/odd").shape == (2, 6, 8, 3)


def test_draws_depend_on_data_set_clip_and_seed_and_on_nothing_else(tmp_path):
    def recipe(out, name="a", **options):
        run(tmp_path / out, "dove", **options, b=clip(1, 8, 8), **{name: clip()})
        return (tmp_path / out / "recipes" / f"{name}.json").read_bytes()

    first = recipe("1")
    assert recipe("2") == first
    assert len({first, recipe("3", seed=1), recipe("4", dataset="other"), recipe("5", name="c")}) == 4
    run(tmp_path / "6", "dove", a=clip())
    assert (tmp_path / "6/recipes/a.json").read_bytes() == first


def test_what_is_done_is_left_alone_and_what_is_not_is_made(tmp_path):
    out = tmp_path / "out"
    run(out, "consistent", a=clip(), b=clip(seed=1))
    whole = stored(out)
    run(out, "consistent", a=clip(), b=clip(seed=1))
    unchanged = stored(out)
    assert unchanged == whole

    (out / "lq/a/00000001.png").unlink()
    video.write(out / "lq/b", tensor(clip(3, 6, 8, seed=5)), 25)
    run(out, "consistent", a=clip(), b=clip(seed=1))
    assert {name: found[0] for name, found in stored(out).items()} == {name: found[0] for name, found in whole.items()}

    changed = run(out, "consistent", a=clip(2, seed=9), b=clip(seed=1))["clips"]
    assert changed["a"]["gt_sha256"] == hashes.rgb_sha256(tensor(clip(2, seed=9)))
    assert len(list((out / "lq/a").iterdir())) == len(list((out / "gt/a").iterdir())) == 2
    assert stored(out)["lq/b/00000000.png"][0] == whole["lq/b/00000000.png"][0]


def test_a_clip_that_fails_leaves_nothing_and_the_others_stay(tmp_path):
    video.write(tmp_path / "bad", tensor(clip(4)), 25)
    (tmp_path / "bad/00000003.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"bad/00000003\.png: not a PNG"):
        run(tmp_path / "out", a=clip(), bad=tmp_path / "bad")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["gt", "lq", "prepared.json"]
    assert [path.name for path in (tmp_path / "out/lq").iterdir()] == ["a"]
    assert list(json.loads((tmp_path / "out/prepared.json").read_text())["clips"]) == ["a"]


KILLED = """
import sys
from pathlib import Path
import numpy as np
from oasis.data import prepare
clips = {name: np.random.default_rng(0).integers(0, 256, (12, 48, 64, 3), dtype=np.uint8) for name in "abcdefgh"}
print("ready", flush=True)
prepare.prepare(clips, Path(sys.argv[1]), dataset="set", recipe="dove", seed=0)
print("done", flush=True)
"""


def test_a_run_that_is_killed_leaves_no_half_clip_and_goes_on(tmp_path):
    out = tmp_path / "out"
    with subprocess.Popen([sys.executable, "-c", KILLED, str(out)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        while len(list(out.glob("lq/*"))) < 2:
            time.sleep(0.001)
        os.kill(process.pid, signal.SIGKILL)
    seen = list(out.glob("lq/*"))
    assert 2 <= len(seen) < 8
    assert all(read(path).shape == (12, 12, 16, 3) for path in seen)
    clips = {name: np.random.default_rng(0).integers(0, 256, (12, 48, 64, 3), dtype=np.uint8) for name in "abcdefgh"}
    for folder in (out, tmp_path / "fresh"):
        run(folder, "dove", **clips)
    resumed, fresh = ({name: found[0] for name, found in stored(folder).items()} for folder in (out, tmp_path / "fresh"))
    assert {name: found for name, found in resumed.items() if "/." not in f"/{name}"} == fresh


def test_builtin_clips_are_written_as_they_are_rendered(tmp_path, monkeypatch):
    monkeypatch.setattr(builtin, "names", lambda: ["ihc-pan", "camera-flower-cut"])
    record = prepare.prepare_builtin(tmp_path)
    for name in record["clips"]:
        made = builtin.make(name)
        np.testing.assert_array_equal(read(tmp_path / "gt" / name), made.hr)
        np.testing.assert_array_equal(read(tmp_path / "lq" / name), made.lq)
        drawn = json.loads((tmp_path / "recipes" / f"{name}.json").read_text())
        assert drawn["recipe"] == json.loads(made.recipe.to_json())
    assert (record["recipe"], len(record["clips"])) == ("builtin", 2)
    before = stored(tmp_path)
    prepare.prepare_builtin(tmp_path)
    assert stored(tmp_path) == before


def test_some_builtin_clips_can_be_a_set_of_their_own(tmp_path):
    record = prepare.prepare_builtin(tmp_path, dataset="builtin-test", names=["flower-turn"])
    assert (record["dataset"], list(record["clips"])) == ("builtin-test", ["flower-turn"])
    with pytest.raises(ValueError, match="the folder holds builtin-test by recipe builtin"):
        prepare.prepare_builtin(tmp_path, names=["flower-turn"])


def test_what_does_not_fit_is_refused(tmp_path):
    with pytest.raises(
        ValueError, match="no recipe 'bicubic'; allowed: bi, bd-mmagic, bd-pfnl, realbasicvsr, dove, consistent"
    ):
        run(tmp_path, "bicubic", a=clip())
    with pytest.raises(ValueError, match="'a' has 3x8 pixels, too few to be reduced by 4"):
        run(tmp_path, a=clip(1, 8, 3))
    for name in ("../a", ".a", "a.png", ""):
        with pytest.raises(ValueError, match="cannot be called"):
            run(tmp_path, **{name: clip()})
    run(tmp_path / "out", a=clip())
    for change in ({"recipe": "dove"}, {"seed": 1}, {"dataset": "other"}):
        with pytest.raises(ValueError, match=r"holds set by recipe bi, seed 0 \(format 1\); write .* to another folder"):
            run(tmp_path / "out", **change, a=clip())
    for text in ("", "[]", "{}"):
        (tmp_path / "out/prepared.json").write_text(text)
        with pytest.raises(ValueError, match=r"prepared\.json: not the record"):
            run(tmp_path / "out", a=clip())


@pytest.mark.parametrize(("part", "height"), [("gt", 27), ("lq", 24)])
def test_ground_truth_is_never_overwritten(tmp_path, part, height):
    (tmp_path / part).mkdir()
    video.write(tmp_path / part / "a", tensor(clip(2, height)), 25)
    before = stored(tmp_path)
    with pytest.raises(ValueError, match="would be overwritten; write to another folder"):
        run(tmp_path, a=tmp_path / part / "a")
    assert stored(tmp_path) == before


def test_lq_may_lie_beside_its_ground_truth(tmp_path):
    (tmp_path / "gt").mkdir()
    video.write(tmp_path / "gt/a", tensor(clip()), 25)
    run(tmp_path, a=tmp_path / "gt/a")
    np.testing.assert_array_equal(read(tmp_path / "gt/a"), clip())
    np.testing.assert_array_equal(read(tmp_path / "lq/a"), classic.bi(clip()))
