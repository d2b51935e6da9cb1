"""The Wan decoder against diffusers' on the same latents: streamed, whole, in tiles; and what tiles get wrong near seams."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from oasis.configs import SPATIAL_STRIDE, WAN_1_3B, VAEConfig
from oasis.model import graphed, tensors
from oasis.model.checkpoint import load_decoder
from oasis.model.feather import Span, spans
from oasis.model.wan_decoder import WanDecoder
from oasis.timing.found import DTYPES, Found, Setting
from oasis.timing.kernels import kernel_names
from oasis.timing.machine import state
from oasis.timing.memory import peak_mib
from oasis.timing.overhead import overhead
from oasis.timing.phases import TOTAL, cpu_clock, cuda_clock
from oasis.timing.rounds import measure

Size = tuple[int, int, int]
"""Frames, rows and columns of latents."""
Way = Literal["diffusers", "streamed", "whole", "tiles", "compiled", "graphed"]


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A way to decode: `streamed` drops frames as they come, `compiled` and `graphed` (a CUDA graph) do so, `whole` joins them.

    `vae` is the file of a VAE's weights; None is random ones, the same for every candidate.
    """

    way: Way
    width: int
    tile: tuple[int, int]
    overlap: int
    vae: Path | None
    device: str
    dtype: str

    @property
    def name(self) -> str:
        """The name of a row's subject."""
        return f"tiles {self.tile[0]}x{self.tile[1]} sharing {self.overlap}" if self.way == "tiles" else self.way


class Band(NamedTuple):
    """Errors of pixels whose distance to the nearest seam is from `start` up to but without `stop`.

    They are shares of the standard deviation of the clip decoded whole: their mean and the largest.
    """

    start: int
    stop: int
    mean: float
    most: float


def decoder(candidate: Candidate) -> WanDecoder:
    """Return the decoder of a candidate, with the weights of its file or random ones."""
    config = VAEConfig(kind="wan", channels=WAN_1_3B.vae.channels, width=candidate.width, blocks=WAN_1_3B.vae.blocks)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)  # torch.manual_seed would seed other devices too
        found = WanDecoder(config)
    if candidate.vae is not None:
        weights = tensors.read(candidate.vae)
        load_decoder(found, weights, "official" if "conv2.weight" in weights else "diffusers")
    return found.eval().requires_grad_(False).to(candidate.device, DTYPES[candidate.dtype])


def latents(candidate: Candidate, size: Size) -> Tensor:
    """Return random latents, the same for every candidate."""
    noise = torch.randn((1, WAN_1_3B.vae.channels, *size), generator=torch.Generator().manual_seed(0))
    return noise.to(candidate.device, DTYPES[candidate.dtype])


def decoding(candidate: Candidate, size: Size) -> Callable[[], Any]:
    """Return a function without arguments that decodes a clip of `size` once."""
    ours, z = decoder(candidate), latents(candidate, size)
    if candidate.way == "diffusers":
        return _by_diffusers(ours, z)
    if candidate.way == "compiled":
        setattr(ours, "step", torch.compile(ours.step, dynamic=False))  # noqa: B010 (a method, to mypy)

    if candidate.way == "graphed":
        graphed.capture_steps(ours)

    @torch.no_grad()
    def call() -> None:
        if candidate.way == "tiles":
            ours.decode(z, tile=candidate.tile, overlap=candidate.overlap)
        elif candidate.way == "whole":
            ours.decode(z)
        else:
            for _ in ours.stream(z.unbind(2)):
                pass

    return call


def profile(candidates: Sequence[Candidate], sizes: Sequence[Size], setting: Setting, *, memory: bool = True) -> Found:
    """Time every candidate on every size; the first one is the baseline, and calls of a round follow each other."""
    found = Found(setting=setting)
    clock = cpu_clock() if setting.device == "cpu" else cuda_clock()
    for size in sizes:
        t, h, w = size
        calls = {candidate.name: decoding(candidate, size) for candidate in candidates}
        first = next(iter(calls.values()))
        found.before = found.before or state(setting.device, first)
        timed = measure(calls, setting.rounds, device=setting.device, cold=setting.cold, clock=clock)
        for candidate, measured in zip(candidates, timed.values(), strict=True):
            wanted = memory and candidate.way != "graphed"  # a replay allocates nothing: its memory was taken before
            found.add(
                measured,
                subject=candidate.name,
                what="decoder",
                phase=TOTAL,
                case=f"{t}x{h}x{w}",
                backend=candidate.way,
                baseline=candidates[0].name,
                peak_mib=peak_mib(decoding, candidate, size, device=setting.device) if wanted else None,
                frames=4 * t - 3,
            )
            found.harness_overhead = max(found.harness_overhead, overhead(clock, 0) / measured.p50)
            found.kernels.setdefault(candidate.name, kernel_names(calls[candidate.name], setting.device))
        found.after = state(setting.device, first)
    return found


@torch.no_grad()
def seam_errors(candidate: Candidate, size: Size) -> list[Band]:
    """Return the absolute errors of decoding in tiles, against decoding whole, by distance from the nearest seam in pixels.

    A seam is the middle of what two tiles share. Bands are one latent wide; there are none where one tile is enough.
    """
    ours, z = decoder(candidate), latents(candidate, size)
    whole = ours.decode(z).float()
    error = (ours.decode(z, tile=candidate.tile, overlap=candidate.overlap).float() - whole).abs() / whole.std()
    rows, columns = (
        _distances(spans(length, side, candidate.overlap), length)
        for length, side in zip(size[1:], candidate.tile, strict=True)
    )
    distance = torch.minimum(rows[:, None], columns).to(error.device)
    if not distance.isfinite().all():
        return []
    bands = []
    for start in range(0, int(distance.max()) + 1, SPATIAL_STRIDE):
        inside = error[..., (distance >= start) & (distance < start + SPATIAL_STRIDE)]
        if inside.numel():
            bands.append(Band(start, start + SPATIAL_STRIDE, float(inside.mean()), float(inside.max())))
    return bands


def _distances(tiles: list[Span], length: int) -> Tensor:
    """Return how far each pixel of an axis lies from the nearest seam; infinite where there is none."""
    seams = [SPATIAL_STRIDE * (left.stop + right.start) / 2 for left, right in pairwise(tiles)]
    places = torch.arange(length * SPATIAL_STRIDE) + 0.5
    return (places[:, None] - torch.tensor([*seams, float("inf")])).abs().amin(1)


def _by_diffusers(ours: WanDecoder, z: Tensor) -> Callable[[], Any]:
    from diffusers import AutoencoderKLWan  # slow to import

    sizes = ours.config
    with torch.device("meta"):
        other: Any = AutoencoderKLWan(base_dim=sizes.width, z_dim=sizes.channels, num_res_blocks=sizes.blocks)
    del other.encoder, other.quant_conv  # no part of decoding
    other.load_state_dict(ours.state_dict(), assign=True)
    other.eval().requires_grad_(False)

    @torch.no_grad()
    def call() -> None:
        other.decode(z, return_dict=False)

    return call
