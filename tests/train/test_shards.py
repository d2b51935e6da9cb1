import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from oasis.data import builtin
from oasis.train import shards
from oasis.train.corpus import Clips, Corpus, CropSize
from oasis.train.motion import Motion, mirror, motion_of
from oasis.train.shards import Shards

SIZES = (CropSize(batch=2, frames=5, height=32, width=48), CropSize(batch=1, frames=5, height=32, width=32))


@pytest.fixture(scope="module")
def clips() -> Clips:
    frames = {str(seed): np.random.default_rng(seed).integers(0, 256, (7, 40, 60, 3), dtype=np.uint8) for seed in range(2)}
    return Clips(frames, "moderate")


@pytest.fixture(scope="module")
def folder(clips: Clips, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards") / "made"
    shards.write(folder, clips, SIZES, 5, seed=3, encoder=lambda hr: hr[:1, ::8, ::8].transpose(3, 0, 1, 2))
    return folder


def arrays(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_crops_depend_on_the_seed_alone_and_not_on_the_workers(clips: Clips, folder: Path, tmp_path: Path) -> None:
    encoder = lambda hr: hr[:1, ::8, ::8].transpose(3, 0, 1, 2)  # noqa: E731
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(shards, "_CHUNK", 2)
        shards.write(tmp_path / "two", clips, SIZES, 5, seed=3, workers=2, encoder=encoder)
    assert arrays(tmp_path / "two") == arrays(folder)
    shards.write(tmp_path / "other", clips, SIZES, 5, seed=4, encoder=encoder)
    assert arrays(tmp_path / "other")["hr-5x32x48.npy"] != arrays(folder)["hr-5x32x48.npy"]


def test_batches_have_the_crops_of_their_kind(folder: Path) -> None:
    source = Shards(folder)
    stored = {kind: np.load(folder / f"{kind}-5x32x48.npy") for kind in ("hr", "lq-consistent", "lq-inconsistent", "latents")}
    for inconsistent in (False, True):
        pair = source.pair(SIZES[0], inconsistent, np.random.default_rng(0))
        (number,) = (i for i in range(3) if np.array_equal(stored["hr"][i], pair.hr))
        kind = "lq-inconsistent" if inconsistent else "lq-consistent"
        assert np.array_equal(stored[kind][number], pair.lq)
        assert np.array_equal(stored["latents"][number], pair.latents)
    batch = Corpus(source, SIZES, seed=0).batch(0)
    assert batch.hr.shape == (2, 3, 5, 32, 48) and batch.latents is not None and batch.latents.shape == (2, 3, 1, 4, 6)


def test_without_latents_both_sides_are_mirrored_together(clips: Clips, tmp_path: Path) -> None:
    shards.write(tmp_path / "made", clips, SIZES[:1], 1, seed=3)
    hr, lq = (np.load(tmp_path / "made" / f"{kind}-5x32x48.npy")[0] for kind in ("hr", "lq-consistent"))
    seen = set()
    for seed in range(20):
        pair = Shards(tmp_path / "made").pair(SIZES[0], False, np.random.default_rng(seed))
        mirrored = not np.array_equal(pair.hr, hr)
        step = -1 if mirrored else 1
        assert np.array_equal(pair.hr, hr[:, :, ::step]) and np.array_equal(pair.lq, lq[:, :, ::step]) and pair.latents is None
        seen.add(mirrored)
    assert seen == {False, True}


def test_every_size_has_as_many_pixels(folder: Path) -> None:
    assert Shards(folder).index["counts"] == {"5x32x48": 3, "5x32x32": 5}
    assert len(np.load(folder / "hr-5x32x48.npy")) == 3 and len(np.load(folder / "hr-5x32x32.npy")) == 5


def test_motion_is_kept_and_mirrored_with_its_crop(tmp_path: Path) -> None:
    clip = builtin.make("china-pan", frames=7, height=40, width=60)
    clips = Clips({"clip": clip.hr}, "moderate", {"clip": motion_of("clip", clip)})
    shards.write(tmp_path / "made", clips, SIZES[:1], 3, seed=3, workers=2)
    source = Shards(tmp_path / "made")
    source.check(SIZES[:1])
    stored = {kind: np.load(tmp_path / "made" / f"{kind}-5x32x48.npy") for kind in ("hr", "flow", "seen")}
    expected = clips.crop(SIZES[0], np.random.default_rng((3, 1, 0)))
    assert expected.motion is not None and np.array_equal(stored["hr"][1], expected.hr)
    assert np.array_equal(stored["flow"][1], expected.motion.flow) and np.array_equal(stored["seen"][1], expected.motion.seen)
    mirrored = set()
    for seed in range(20):
        pair = source.pair(SIZES[0], False, np.random.default_rng(seed))
        assert pair.motion is not None
        for number in range(3):
            kept = Motion(torch.from_numpy(stored["flow"][number]), torch.from_numpy(stored["seen"][number]))
            for step, motion in ((1, kept), (-1, mirror(kept))):
                if np.array_equal(pair.hr, stored["hr"][number][:, :, ::step]):
                    assert torch.equal(pair.motion.flow, motion.flow) and torch.equal(pair.motion.seen, motion.seen)
                    mirrored.add(step)
    assert mirrored == {-1, 1}


def test_an_unfinished_folder_is_refused(clips: Clips, tmp_path: Path) -> None:
    def stops(hr: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shards.write(tmp_path / "made", clips, SIZES, 5, seed=3, encoder=stops)
    assert not (tmp_path / "made").exists() and not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match=r"made: no shards\.json"):
        Shards(tmp_path / "made")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 1}, "field 'format' is 1; allowed: 2"),
        ({"counts": 5}, "field 'counts' must be a dict, got 5"),
        ({"counts": {"5x32x32": "5"}}, "field 'counts' has '5' crops of 5x32x32; allowed"),
        ({"colour": 1}, "must be an object with exactly the fields"),
        ({"counts": {"5x32x48": 3, "5x32x32": 6}}, "5 crops, but shards.json says 6"),
    ],
)
def test_a_damaged_index_is_refused(folder: Path, tmp_path: Path, change: dict[str, Any], said: str) -> None:
    for name, content in arrays(folder).items():
        (tmp_path / name).write_bytes(content)
    index = json.loads((tmp_path / "shards.json").read_text())
    (tmp_path / "shards.json").write_text(json.dumps(index | change))
    with pytest.raises(ValueError) as caught:
        Shards(tmp_path).check(SIZES)
    assert said in str(caught.value)


def test_a_missing_size_and_a_cut_array_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no crops of 9x32x32; it has 5x32x48, 5x32x32"):
        Shards(folder).check([CropSize(batch=1, frames=9, height=32, width=32)])
    for name, content in arrays(folder).items():
        (tmp_path / name).write_bytes(content[: len(content) // 2] if name.startswith("hr") else content)
    with pytest.raises(ValueError, match=r"hr-5x32x48\.npy: not an array of crops, or cut off"):
        Shards(tmp_path).check(SIZES)


KILLED = """
import sys
from pathlib import Path
import numpy as np
from oasis.train import shards
from oasis.train.corpus import Clips, CropSize
clips = Clips({"black": np.zeros((7, 40, 60, 3), np.uint8)}, "moderate")
size = CropSize(batch=1, frames=5, height=32, width=48)
print("started", flush=True)
shards.write(Path(sys.argv[1]), clips, [size], 100000, seed=0)
"""


def test_a_killed_writer_leaves_no_folder_that_looks_whole(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path / "made")], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.kill()
    process.wait()
    with pytest.raises(ValueError, match=r"no shards\.json"):
        Shards(tmp_path / "made")
