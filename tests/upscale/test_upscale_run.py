"""A file becomes a larger file: the frames of the library, whole or absent, and the same after any stop."""

import json
import multiprocessing
import random
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from little import WAN, called_again, checkpoint, moving

from oasis import video
from oasis.attention import sdpa
from oasis.grid import Grid
from oasis.model import graphed, load_model
from oasis.model.checkpoint import Loaded
from oasis.routing import FRAME, GLOBAL
from oasis.tiling import Tiling
from oasis.upscale import kernels, upscale
from oasis.upscale.job import Job
from oasis.upscale.parts import Parts
from oasis.upscale.run import Done, run
from oasis.upscale.work import Work
from oasis.video.source import describe
from oasis.video.target import target

TILING = Tiling(frames=5, height=12, width=16, overlap_frames=2, overlap=2)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return load_model(str(checkpoint(tmp_path_factory.mktemp("model") / "little")))


def job(source: Path, out: Path, **changes) -> Job:
    about, scale = describe(source), changes.pop("scale", 4)
    given = {"tiling": TILING} | changes
    return Job(source=about, target=target(out, about, scale=scale), out=out, scale=scale, **given)


def clip(path: Path, frames: torch.Tensor, fps: Fraction | int = 24) -> Path:
    video.write(path, frames, fps)
    return path


def pixels(path: Path) -> torch.Tensor:
    return video.read(path).frames


def two_scenes(first: int, second: int) -> torch.Tensor:
    """Return two scenes, dark and bright: a cut that nobody misses."""
    return torch.cat([moving(first, 14, 20) // 3, 160 + moving(second, 14, 20, seed=1) // 3])


def test_frames_are_those_of_the_library(loaded: Loaded, tmp_path: Path) -> None:
    frames = moving(23, 14, 20)
    source, ticks = clip(tmp_path / "in.mkv", frames), []
    done = run(loaded, job(source, tmp_path / "out.mkv"), tick=ticks.append)
    assert isinstance(done, Done) and done.new
    assert torch.equal(pixels(tmp_path / "out.mkv"), torch.stack(list(upscale(loaded.model, frames, TILING))))
    assert sum(ticks) == 23 == done.record["frames"] and done.record["scenes"] == 1
    assert json.loads((tmp_path / "out.mkv.json").read_text()) == done.record
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mkv", "out.mkv", "out.mkv.json"]
    assert video.info(tmp_path / "out.mkv").fps == 24


def test_no_scene_bleeds_into_another(loaded: Loaded, tmp_path: Path) -> None:
    frames = two_scenes(8, 7)
    source = clip(tmp_path / "in.mkv", frames)
    done = run(loaded, job(source, tmp_path / "out.mkv"))
    assert done is not None and done.record["scenes"] == 2 and done.record["kernels"] == {"global": "sdpa"}
    alone = [torch.stack(list(upscale(loaded.model, part, TILING))) for part in (frames[:8], frames[8:])]
    assert torch.equal(pixels(tmp_path / "out.mkv"), torch.cat(alone))
    run(loaded, job(source, tmp_path / "blind.mkv", find_cuts=False))
    assert not torch.equal(pixels(tmp_path / "blind.mkv"), torch.cat(alone))


@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize("size", [(1, 1, 1), (3, 7, 9), (2, 1, 33)])
def test_every_size_and_scale_is_exact(loaded: Loaded, tmp_path: Path, size: tuple[int, int, int], scale: int) -> None:
    source = clip(tmp_path / "in.mkv", moving(*size))
    run(loaded, job(source, tmp_path / "out.mkv", scale=scale))
    t, h, w = size
    assert pixels(tmp_path / "out.mkv").shape == (t, 3, scale * h, scale * w)


def test_a_clip_that_is_there_is_not_made_again_unless_something_differs(loaded: Loaded, tmp_path: Path) -> None:
    source = clip(tmp_path / "in.mkv", moving(6, 8, 8))
    first = run(loaded, job(source, tmp_path / "out.mkv"))
    again = run(loaded, job(source, tmp_path / "out.mkv"))
    assert first is not None and again is not None and not again.new and again.record == first.record
    clip(source, moving(6, 8, 8, seed=3))
    assert run(loaded, job(source, tmp_path / "out.mkv")).new  # type: ignore[union-attr]
    (tmp_path / "out.mkv").write_bytes(b"something else")
    assert run(loaded, job(source, tmp_path / "out.mkv")).new  # type: ignore[union-attr]


class Stop(Exception):
    pass


def stopped(loaded: Loaded, work: Job, after: int) -> None:
    """Run until so many frames have come out."""
    made = 0

    def tick(count: int) -> None:
        nonlocal made
        made += count
        if made >= after:
            raise Stop

    with pytest.raises(Stop):
        run(loaded, work, tick=tick)


def test_a_stopped_run_goes_on_and_ends_alike(loaded: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = clip(tmp_path / "in.mkv", two_scenes(13, 14))
    run(loaded, job(source, tmp_path / "whole.mkv"))
    made = []
    original = Work._make
    monkeypatch.setattr(Work, "_make", lambda self, segment: (made.append(segment.number), original(self, segment)))
    for after in (1, 9, 17, 26):
        stopped(loaded, job(source, tmp_path / "out.mkv"), after)
        assert not (tmp_path / "out.mkv").exists()
    run(loaded, job(source, tmp_path / "out.mkv"))
    assert (tmp_path / "out.mkv").read_bytes() == (tmp_path / "whole.mkv").read_bytes()
    assert made == sorted(made) and len(made) <= max(made) + 1 + 4  # a stop costs one segment, no more


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes()[:-40])])
def test_a_segment_that_was_damaged_is_made_again(loaded: Loaded, tmp_path: Path, damage) -> None:
    source = clip(tmp_path / "in.mkv", moving(24, 8, 8))
    run(loaded, job(source, tmp_path / "whole.mkv"))
    stopped(loaded, job(source, tmp_path / "out.mkv"), after=20)
    damage(Parts.beside(tmp_path / "out.mkv").path(1))
    run(loaded, job(source, tmp_path / "out.mkv"))
    assert (tmp_path / "out.mkv").read_bytes() == (tmp_path / "whole.mkv").read_bytes()


def test_segments_of_other_settings_are_refused_and_kept(loaded: Loaded, tmp_path: Path) -> None:
    source = clip(tmp_path / "in.mkv", moving(20, 8, 8))
    stopped(loaded, job(source, tmp_path / "out.mkv"), after=15)
    folder = Parts.beside(tmp_path / "out.mkv").folder
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(ValueError, match=r"out\.mkv\.parts: a stopped run with scale 4, not 2; .*left this"):
        run(loaded, job(source, tmp_path / "out.mkv", scale=2))
    assert sorted(path.name for path in folder.iterdir()) == before


def test_the_wan_decoder_decodes_in_tiles_that_are_recorded(tmp_path: Path) -> None:
    wan = load_model(str(checkpoint(tmp_path / "wan", vae=WAN, layers=1)))
    frames = moving(12, 14, 20)
    source = clip(tmp_path / "in.mkv", frames)
    whole = run(wan, job(source, tmp_path / "whole.mkv"))
    wan.model.decode_in_tiles((6, 8), 0)  # tiles of 12x16 LQ pixels are 6x8 latents
    as_large = run(wan, job(source, tmp_path / "large.mkv"))
    wan.model.decode_in_tiles((3, 5), 1)
    stopped(wan, job(source, tmp_path / "out.mkv"), after=11)
    wan.model.decode_in_tiles((3, 5), 0)
    with pytest.raises(ValueError, match=r"with decoder_tiles \{'size': \[3, 5\], 'overlap': 1\}, not .*'overlap': 0\}"):
        run(wan, job(source, tmp_path / "out.mkv"))
    wan.model.decode_in_tiles((3, 5), 1)
    done = run(wan, job(source, tmp_path / "out.mkv"))
    assert whole is not None and as_large is not None and done is not None
    assert whole.record["decoder_tiles"] is None and done.record["decoder_tiles"] == {"size": [3, 5], "overlap": 1}
    assert torch.equal(pixels(tmp_path / "large.mkv"), pixels(tmp_path / "whole.mkv"))
    assert not torch.equal(pixels(tmp_path / "out.mkv"), pixels(tmp_path / "whole.mkv"))
    assert torch.equal(pixels(tmp_path / "out.mkv"), torch.stack(list(upscale(wan.model, frames, TILING))))


def test_a_run_that_goes_on_keeps_the_dense_backends_that_made_its_first_segments(
    loaded: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, used, preferring = clip(tmp_path / "in.mkv", moving(20, 8, 8)), [], sdpa.preferring
    monkeypatch.setattr(sdpa, "preferring", lambda name: used.append(name) or preferring(name))
    monkeypatch.setattr("oasis.upscale.run.fastest", lambda model, job: {GLOBAL: "sdpa-math"})
    stopped(loaded, job(source, tmp_path / "out.mkv"), after=15)
    monkeypatch.setattr("oasis.upscale.run.fastest", lambda model, job: {GLOBAL: "sdpa-flash"})
    done = run(loaded, job(source, tmp_path / "out.mkv"))
    assert done is not None and done.record["kernels"] == {"global": "sdpa-math"} and set(used) == {"sdpa-math"}
    done = run(loaded, job(source, tmp_path / "anew.mkv"))
    assert done is not None and done.record["kernels"] == {"global": "sdpa-flash"}


def test_dense_backends_are_measured_on_the_tiles_that_fit(
    loaded: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grids: list[Grid] = []

    def choose(layers, grid, d, like):
        grids.append(grid)
        if grid.tokens > 200:
            raise torch.OutOfMemoryError
        return {GLOBAL: "sdpa-math"}

    monkeypatch.setattr(kernels, "choose", choose)
    work = job(clip(tmp_path / "in.mkv", moving(3, 40, 20)), tmp_path / "out.mkv", tiling=Tiling.of(5, 32, 32))
    assert kernels.fastest(loaded.model, work) == {GLOBAL: "sdpa-math"}
    assert grids == [Grid(2, 16, 10), Grid(2, 16, 8), Grid(2, 8, 8)]
    monkeypatch.setattr(loaded.model.dit, "backend", "varlen")
    monkeypatch.setattr(kernels, "choose", lambda layers, *_: {pattern: "sdpa" for heads in layers for pattern in heads})
    monkeypatch.setattr(loaded.model.dit, "patterns", ((GLOBAL, FRAME), (FRAME, FRAME)))
    assert kernels.fastest(loaded.model, work) == {GLOBAL: "sdpa"}
    monkeypatch.setattr(loaded.model.dit, "backend", "masked")
    assert kernels.fastest(loaded.model, work) == {}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("graph", [False, True])
def test_on_cuda_a_stopped_run_goes_on_with_the_kernels_and_graphs_of_its_start(tmp_path: Path, graph: bool) -> None:
    wan = load_model(str(checkpoint(tmp_path / "wan", vae=WAN, layers=1)))
    wan.model.to("cuda", torch.bfloat16).decode_in_tiles((5, 6), 1)
    if graph:
        graphed.capture(wan.model)
    source = clip(tmp_path / "in.mkv", moving(23, 14, 20))
    stopped(wan, job(source, tmp_path / "out.mkv"), after=15)
    chosen = Parts.beside(tmp_path / "out.mkv").kernels()
    done = run(wan, job(source, tmp_path / "out.mkv"))
    assert done is not None and done.record["kernels"] == {"global": chosen[GLOBAL]} and chosen[GLOBAL] != "sdpa"
    assert done.record["graph"] == graph and done.record["peak_mib"]["device"] > 0
    plain = load_model(str(tmp_path / "wan"))
    plain.model.to("cuda", torch.bfloat16).decode_in_tiles((5, 6), 1)
    with sdpa.using(chosen):
        expected = torch.stack(list(upscale(plain.model, moving(23, 14, 20), TILING)))
    assert (pixels(tmp_path / "out.mkv").int() - expected.int()).abs().max() <= (4 if graph else 0)


def test_a_dense_backend_that_is_none_is_refused(tmp_path: Path) -> None:
    parts = Parts.beside(tmp_path / "out.mkv")
    parts.folder.mkdir()
    parts.choose(lambda: {GLOBAL: "sdpa", FRAME: "sdpa-cudnn"})
    assert parts.kernels() == {GLOBAL: "sdpa", FRAME: "sdpa-cudnn"}
    (parts.folder / "kernels.json").write_text('{"global": "dense"}')
    with pytest.raises(ValueError, match=r"kernels\.json: no dense backend is called 'dense'; allowed: sdpa, sdpa-flash"):
        parts.kernels()


def test_a_folder_without_a_finished_segment_binds_nobody(loaded: Loaded, tmp_path: Path) -> None:
    source = clip(tmp_path / "in.mkv", moving(6, 8, 8))
    parts = Parts.beside(tmp_path / "out.mkv")
    parts.folder.mkdir()
    parts.agree({"scale": 4, "of": "a run that was killed at its start"})
    assert run(loaded, job(source, tmp_path / "out.mkv", scale=2)).new  # type: ignore[union-attr]


def test_a_scale_that_the_model_does_not_reach_is_refused(loaded: Loaded, tmp_path: Path) -> None:
    source = clip(tmp_path / "in.mkv", moving(6, 8, 8))
    with pytest.raises(ValueError, match="scale is 3; allowed: what divides the 4 of 'little'"):
        run(loaded, job(source, tmp_path / "out.mkv", scale=3))
    assert [path.name for path in tmp_path.iterdir()] == ["in.mkv"]


def test_nothing_is_left_of_a_run_that_failed_before_its_first_segment(loaded: Loaded, tmp_path: Path) -> None:
    source = clip(tmp_path / "in.mkv", moving(6, 8, 8))
    stopped(loaded, job(source, tmp_path / "out.mkv"), after=1)
    assert [path.name for path in tmp_path.iterdir()] == ["in.mkv"]


def test_out_of_memory_leads_to_smaller_tiles_said_and_recorded(
    loaded: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = clip(tmp_path / "in.mkv", moving(11, 40, 40))
    large, small = (Tiling(frames=5, height=side, width=side, overlap_frames=2, overlap=4) for side in (32, 16))
    run(loaded, job(source, tmp_path / "small.mkv", tiling=small))
    forward = type(loaded.model).forward

    def limited(self, lq):
        if lq.shape[-1] * lq.shape[-2] > 256:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(self, lq)

    monkeypatch.setattr(type(loaded.model), "forward", limited)
    said: list[str] = []
    done = run(loaded, job(source, tmp_path / "out.mkv", tiling=large), say=said.append)
    assert done is not None and done.record["tiles"] == ["5x16x16"]
    assert len(said) == 2 and "out of memory at frame 0 in tiles of 5x32x32; going on in tiles of 5x32x16" in said[0]
    assert torch.equal(pixels(tmp_path / "out.mkv"), pixels(tmp_path / "small.mkv"))
    monkeypatch.setattr(type(loaded.model), "forward", lambda self, lq: limited(self, lq.repeat(1, 1, 1, 9, 9)))
    with pytest.raises(ValueError, match="out of memory at frame 0 in tiles of 5x16x16, and smaller ones are not made"):
        run(loaded, job(source, tmp_path / "none.mkv", tiling=small))


def test_graphs_of_tiles_that_were_too_large_are_released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphed, "record", called_again)
    monkeypatch.setattr(graphed, "_need_cuda", lambda weight: None)
    plain, wan = (load_model(str(checkpoint(tmp_path / name, vae=WAN, layers=1))) for name in ("plain", "wan"))
    source = clip(tmp_path / "in.mkv", moving(11, 20, 36))
    large, small = (Tiling(frames=5, height=16, width=width, overlap_frames=2, overlap=4) for width in (32, 16))
    run(plain, job(source, tmp_path / "plain.mkv", tiling=small))
    decode, captured = wan.model.vae.decode, []

    def limited(latents, **options):
        captured.append({key[0][0][-1] for key in wan.model.graphed.captured})
        if latents.shape[-1] > 8:
            raise torch.OutOfMemoryError
        return decode(latents, **options)

    graphed.capture(wan.model)
    monkeypatch.setattr(wan.model.vae, "decode", limited)
    done = run(wan, job(source, tmp_path / "out.mkv", tiling=large))
    assert done is not None and done.record["graph"] and done.record["tiles"] == ["5x16x16"]
    assert captured[0] == {32} and captured[1:] and all(widths == {16} for widths in captured[1:])
    assert torch.equal(pixels(tmp_path / "out.mkv"), pixels(tmp_path / "plain.mkv"))


def test_what_is_no_picture_ends_the_run_and_loses_nothing(
    loaded: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = clip(tmp_path / "in.mkv", moving(20, 8, 8))
    run(loaded, job(source, tmp_path / "whole.mkv"))
    forward, calls = type(loaded.model).forward, 0

    def broken(self, lq):
        nonlocal calls
        calls += 1
        return forward(self, lq) * (float("nan") if calls > 3 else 1)

    monkeypatch.setattr(type(loaded.model), "forward", broken)
    said: list[str] = []
    with pytest.raises(ValueError, match=r"in\.mkv: frame 9: the network gave NaN or infinity"):
        run(loaded, job(source, tmp_path / "out.mkv"), say=said.append)
    assert len(said) == 1 and said[0].startswith(f"finished segments, 1, are kept in {tmp_path / '.out.mkv.parts'};")
    monkeypatch.setattr(type(loaded.model), "forward", forward)
    run(loaded, job(source, tmp_path / "out.mkv"))
    assert (tmp_path / "out.mkv").read_bytes() == (tmp_path / "whole.mkv").read_bytes()


CLEAN = multiprocessing.get_context("forkserver")  # forks of a process in which torch has no threads yet
CLEAN.set_forkserver_preload(["oasis.upscale.run", "oasis.model"])


def alone(model: Path, source: Path, out: Path, tile: tuple[int, int, int] = (5, 12, 16)) -> None:
    """Upscale in a process of its own."""
    torch.set_num_threads(1)
    run(load_model(str(model)), job(source, out, tiling=Tiling.of(*tile)))


def finished(out: Path) -> int:
    return len(list(Parts.beside(out).folder.glob("segment-*.json")))


def test_killed_at_ten_random_points_it_ends_where_an_uninterrupted_run_does(tmp_path: Path) -> None:
    model, source = checkpoint(tmp_path / "little"), clip(tmp_path / "in.mkv", two_scenes(110, 90))
    whole, out = tmp_path / "whole.mp4", tmp_path / "out.mp4"
    alone(model, source, whole)
    draws, killed = random.Random(0), 0
    while killed < 10:
        process = CLEAN.Process(target=alone, args=(model, source, out))
        begun, more = finished(out), draws.randint(0, 2)
        process.start()
        while process.is_alive() and finished(out) <= begun + more:
            time.sleep(0.002)
        time.sleep(draws.random() * 0.05)
        process.kill()
        process.join()
        killed += 1
        assert out.exists() or process.exitcode == -signal.SIGKILL
    alone(model, source, out)
    assert out.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "in.mkv",
        "little",
        *sorted(f"{name}.mp4{end}" for name in ("out", "whole") for end in ("", ".json")),
    ]


@pytest.mark.parametrize("shared", ["segments", "context"])
def test_two_processes_make_what_one_makes(tmp_path: Path, shared: str) -> None:
    model, source = checkpoint(tmp_path / "little"), clip(tmp_path / "in.mkv", two_scenes(15, 14))
    alone(model, source, tmp_path / "one.mkv")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "oasis"]
    options = ["upscale", str(source), str(tmp_path / "two.mkv"), "--model", str(model), "--tile", "5x12x16"]
    done = subprocess.run([*launch, *options, "--parallel", shared], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("29 frames of 80x56") == 1
    one, two = (pixels(tmp_path / f"{name}.mkv").int() for name in ("one", "two"))
    assert (one - two).abs().max() <= (1 if shared == "context" else 0)  # other sums, so a level may round the other way


def test_memory_does_not_grow_with_the_clip(tmp_path: Path) -> None:
    model, peaks = checkpoint(tmp_path / "little"), []
    for frames in (120, 480):
        source = clip(tmp_path / f"in{frames}.mkv", torch.zeros(frames, 3, 48, 64, dtype=torch.uint8))
        out = tmp_path / f"out{frames}.mp4"
        process = CLEAN.Process(target=alone, args=(model, source, out, (9, 48, 64)))
        process.start()
        process.join()
        peaks.append(json.loads(Path(f"{out}.json").read_text())["peak_mib"]["host"])
    assert peaks[1] < peaks[0] + 25  # 360 larger frames are 50 MiB


def test_levels_are_kept_in_folders(loaded: Loaded, tmp_path: Path) -> None:
    frames = moving(7, 8, 9)
    video.write(tmp_path / "in", frames, 25)
    run(loaded, job(tmp_path / "in", tmp_path / "out"))
    assert torch.equal(pixels(tmp_path / "out"), torch.stack(list(upscale(loaded.model, frames, TILING))))
    assert (tmp_path / "out" / "upscale.json").exists()
    assert np.array_equal(video.info(tmp_path / "out").frames, 7)
