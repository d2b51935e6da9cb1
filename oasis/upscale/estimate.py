"""How long a clip will take and how much memory: its first segment, made for show, and one tile of every size."""

import resource
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from oasis.attention import sdpa
from oasis.model.oasis import Oasis
from oasis.tiling import Tiling, padded_size
from oasis.upscale.job import Job
from oasis.upscale.kernels import fastest
from oasis.upscale.parts import Parts
from oasis.upscale.plan import Plan
from oasis.upscale.ranks import ALONE
from oasis.upscale.work import Work

CALLS = 3
"""How often a tile of each size is timed."""

Size = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a run will take. Seconds are those of this machine as it is now; peaks are in MiB, `device` on CUDA only."""

    frames: int
    scenes: int
    chunks: int
    tiles: int
    network_seconds: float
    other_seconds: float
    host_mib: float
    device_mib: float | None

    @property
    def seconds(self) -> float:
        """The whole, from the first frame read to the joined file."""
        return self.network_seconds + self.other_seconds


class _Standin:
    """Upscales the first tile of every size by the network, and times that, and all others by bicubic interpolation."""

    def __init__(self, model: Oasis) -> None:
        self.model, self.config, self.prompt = model, model.config, model.prompt
        self.graphed, self.vae = model.graphed, model.vae
        self.seconds: dict[Size, float] = {}
        self.spent = 0.0  # in here: none of it is reading, mixing or encoding

    def __call__(self, lq: Float[Tensor, "1 3 t h w"]) -> Float[Tensor, "1 3 t y x"]:
        start = time.perf_counter()
        size = padded_size((lq.shape[2], lq.shape[3], lq.shape[4]), self.config.scale, self.config.dit.patch)
        if size not in self.seconds:
            output = self.model(lq)  # the first call also warms up
            self.seconds[size] = self.timed(lq)
        else:
            large = F.interpolate(rearrange(lq, "1 c t h w -> t c h w"), scale_factor=self.config.scale, mode="bicubic")
            output = rearrange(large, "t c y x -> 1 c t y x").clamp(-1, 1)
        self.spent += time.perf_counter() - start
        return output

    def timed(self, lq: Float[Tensor, "1 3 t h w"]) -> float:
        """Return the seconds of one call, the mean of a few: others may use this machine, too."""
        _finish(lq)
        start = time.perf_counter()
        for _ in range(CALLS):
            self.model(lq)
        _finish(lq)
        return (time.perf_counter() - start) / CALLS


@torch.no_grad()
def estimate(model: Oasis, job: Job, *, say: Callable[[str], Any] = lambda text: None) -> Estimate:
    """Estimate a run: decodes the clip once to find its length and cuts, and upscales a few tiles.

    Memory is that of the first segment, which the others repeat; where it does not suffice, `say` is told of the smaller
    tiles that the estimate, like the run, goes on with. Errors as those of `run`, for what shows until then.
    """
    start = time.perf_counter()
    plan, lengths, first = Plan(job), Counter[int](), 0
    for segment in plan.segments():
        first = first or segment.frames + segment.chunks[-1].passed_on
        lengths.update(len(chunk.frames) for chunk in segment.chunks)
    reading, frames = time.perf_counter() - start, len(plan.times)
    standin, kernels = _Standin(model), fastest(model, job)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, f"out{job.out.suffix}")
        parts = Parts.beside(out)
        parts.folder.mkdir()
        start = time.perf_counter()
        shown = replace(job, out=out, frames=first)
        work = Work(standin, shown, parts, ALONE, tick=lambda count: None, say=say)  # type: ignore[arg-type]
        with sdpa.using(kernels):
            work.run(Plan(shown).segments())
        other = time.perf_counter() - start - standin.spent
    calls: Counter[Size] = Counter()
    for length, count in lengths.items():
        for height, width in _tiles(work.tiling, job):
            calls[padded_size((length, height, width), model.config.scale, model.config.dit.patch)] += count
    for size in calls.keys() - standin.seconds.keys():
        lq = torch.zeros(1, 3, *size).to(model.prompt)
        with sdpa.using(kernels):
            model(lq)
            standin.seconds[size] = standin.timed(lq)
    per_frame = max(other / first - reading / frames, 0)
    cuda = model.prompt.device.type == "cuda"
    return Estimate(
        frames=frames,
        scenes=plan.scenes,
        chunks=lengths.total(),
        tiles=calls.total(),
        network_seconds=sum(count * standin.seconds[size] for size, count in calls.items()),
        other_seconds=reading + per_frame * frames,
        host_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        device_mib=torch.cuda.max_memory_allocated(model.prompt.device) / 2**20 if cuda else None,
    )


def _tiles(tiling: Tiling, job: Job) -> list[tuple[int, int]]:
    """Return the height and width of every tile of a frame."""
    calls = tiling.calls((1, job.source.height, job.source.width))
    return [(height, width) for (_, height, width), count in calls.items() for _ in range(count)]


def _finish(tensor: Tensor) -> None:
    if tensor.is_cuda:
        torch.cuda.synchronize(tensor.device)
