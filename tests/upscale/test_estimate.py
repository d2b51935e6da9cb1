"""A prediction counts what the run does, and its memory is that of the run."""

from pathlib import Path

import torch
from little import checkpoint, moving

from oasis import video
from oasis.model import load_model
from oasis.tiling import Tiling
from oasis.upscale.estimate import estimate
from oasis.upscale.job import Job
from oasis.upscale.run import run
from oasis.video.source import describe
from oasis.video.target import target


def test_out_of_memory_it_goes_on_in_the_tiles_of_the_run(tmp_path: Path, monkeypatch) -> None:
    loaded = load_model(str(checkpoint(tmp_path / "little")))
    video.write(tmp_path / "in.mkv", moving(6, 40, 40), 24)
    source, out = describe(tmp_path / "in.mkv"), tmp_path / "out.mkv"
    tiling = Tiling(frames=5, height=32, width=32, overlap_frames=2, overlap=4)
    job = Job(source=source, target=target(out, source, scale=4), out=out, scale=4, tiling=tiling)
    forward, said = type(loaded.model).forward, []

    def limited(self, lq):
        if lq.shape[-1] * lq.shape[-2] > 256:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(self, lq)

    monkeypatch.setattr(type(loaded.model), "forward", limited)
    found = estimate(loaded.model, job, say=said.append)
    small = Tiling(frames=5, height=16, width=16, overlap_frames=2, overlap=4)
    assert len(said) == 2 and found.tiles == small.calls((6, 40, 40)).total()


def test_it_counts_the_calls_of_the_run_and_leaves_nothing(tmp_path: Path, monkeypatch) -> None:
    loaded = load_model(str(checkpoint(tmp_path / "little")))
    frames = torch.cat([moving(16, 14, 20) // 3, 160 + moving(7, 14, 20, seed=1) // 3])
    video.write(tmp_path / "in.mkv", frames, 24)
    source, out = describe(tmp_path / "in.mkv"), tmp_path / "out.mkv"
    tiling = Tiling(frames=5, height=12, width=16, overlap_frames=2, overlap=2)
    job = Job(source=source, target=target(out, source, scale=4), out=out, scale=4, tiling=tiling)
    before = sorted(tmp_path.iterdir())
    found = estimate(loaded.model, job)
    assert sorted(tmp_path.iterdir()) == before
    forward, calls = type(loaded.model).forward, []
    monkeypatch.setattr(type(loaded.model), "forward", lambda self, lq: calls.append(1) or forward(self, lq))
    done = run(loaded, job)
    assert done is not None
    assert (found.frames, found.scenes, found.tiles) == (23, 2, len(calls)) == (done.record["frames"], 2, 4 * found.chunks)
    assert found.network_seconds > 0 and found.other_seconds > 0 and found.device_mib is None
    assert found.seconds == found.network_seconds + found.other_seconds
    # The process that estimated has held as much as the run needed, and little more.
    assert found.host_mib <= done.record["peak_mib"]["host"] < found.host_mib + 30
