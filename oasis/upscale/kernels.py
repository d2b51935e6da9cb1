"""Which dense backends attention prefers during a run: measured once, before its first tile, and then kept."""

import torch

from oasis.attention.choice import choose
from oasis.grid import Grid
from oasis.model.oasis import Oasis
from oasis.routing import GLOBAL, Pattern
from oasis.tiling import Tiling, latent_grid
from oasis.upscale.job import Job


def fastest(model: Oasis, job: Job) -> dict[Pattern, str]:
    """Return the fastest dense backend for each pattern of the model on the largest tile of a clip.

    Nothing for attention that makes no dense calls. What was tried leaves no trace in the peak of memory.
    """
    layers = model.dit.patterns
    if model.dit.backend == "varlen":  # its other heads take one launch, for which torch chooses
        layers = tuple(tuple(pattern for pattern in patterns if pattern == GLOBAL) for patterns in layers)
    elif model.dit.backend not in ("folded", "ordered"):
        return {}
    found, tiling = None, job.tiling
    while found is None:
        try:
            found = choose(layers, _grid(model, job, tiling), model.config.dit.head_dim, model.prompt)
        except torch.OutOfMemoryError:
            smaller = tiling.smaller()  # as the run will do
            if smaller is None:
                raise
            tiling = smaller
    if model.prompt.is_cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(model.prompt.device)
    return found


def _grid(model: Oasis, job: Job, tiling: Tiling) -> Grid:
    """Return the tokens of the largest tile."""
    frames = min(number for number in (tiling.frames, job.frames, job.source.frames) if number is not None)
    size = (frames, min(tiling.height, job.source.height), min(tiling.width, job.source.width))
    latents = latent_grid(size, model.config.scale, model.config.dit.patch)
    return model.dit.grid((latents.t, latents.h, latents.w))
