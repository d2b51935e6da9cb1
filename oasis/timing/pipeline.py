"""A file becomes a larger file: decode, network, encode, in the chunks and tiles of `oasis upscale`, but in one go."""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from oasis import upscale, video
from oasis.attention import sdpa
from oasis.data import builtin
from oasis.data.clips import as_tensor
from oasis.model.oasis import Oasis
from oasis.sections import section
from oasis.timing import model
from oasis.timing.found import Found
from oasis.timing.kernels import kernel_names
from oasis.timing.machine import state
from oasis.timing.memory import peak_mib
from oasis.timing.model import Network
from oasis.timing.overhead import count_sections, overhead
from oasis.timing.phases import TOTAL, Clock, wall_clock
from oasis.timing.rounds import measure_phases

NAMES = ("decode", "network", "encode")
_Item = TypeVar("_Item")


@dataclass(frozen=True, kw_only=True)
class Request:
    """Which networks, in tiles of `tiling`, turn `clip` (None: a built-in one) into a file with this `suffix`."""

    networks: model.Request
    clip: Path | None = None
    suffix: str = ".mp4"
    tiling: upscale.Tiling = field(default_factory=upscale.Tiling)


def pipeline(network: Network, clip: Path, out: Path, tiling: upscale.Tiling, used: Oasis | None = None) -> Callable[[], Any]:
    """Return a function without arguments that upscales a file into another."""
    loaded = model.made(network) if used is None else used
    fps = video.info(clip).fps

    def call() -> None:
        with sdpa.preferring(network.dense), section("encode"):
            frames = upscale.upscale(loaded, each("decode", video.stream(clip)), tiling)
            video.write(out, each("network", frames), fps)

    return call


def profile(request: Request) -> Found:
    """Time every network on the clip: the whole, `decode`, `network`, `encode`; the dense one is the baseline."""
    where, tile = request.networks.setting, request.tiling
    found = Found(setting=where)
    clock = wall_clock(where.device, names=NAMES)
    with tempfile.TemporaryDirectory() as folder:
        clip = request.clip or builtin_clip(Path(folder))
        out = Path(folder, f"out{request.suffix}")
        about, frames = video.info(clip), video.count(clip)
        models = {network: model.made(network) for network in model.networks(request.networks)}
        models = model.with_fastest_dense(models, (tile.frames, tile.height, tile.width), where)
        calls = {str(network): pipeline(network, clip, out, tile, used) for network, used in models.items()}
        first = next(iter(calls.values()))
        found.before = state(where.device, first)
        timed = measure_phases(calls, where.rounds, device=where.device, cold=where.cold, clock=in_order(clock))
        for network, phases in zip(models, timed.values(), strict=True):
            peak = peak_mib(pipeline, network, clip, out, tile, device=where.device) if request.networks.memory else None
            for phase, measured in phases.items():
                found.add(
                    measured,
                    subject=network.name,
                    what="pipeline",
                    phase=phase,
                    case=f"{frames}x{about.height}x{about.width}",
                    backend=network.dense if network.routing is None else network.backend,
                    baseline=next(iter(models)).name,
                    peak_mib=peak if phase == TOTAL else None,
                    frames=frames,
                )
            sections = count_sections(calls[str(network)])
            found.harness_overhead = max(found.harness_overhead, overhead(clock, sections) / phases[TOTAL].p50)
            found.kernels[f"{network.name} ({network.backend})"] = kernel_names(calls[str(network)], where.device)
        found.after = state(where.device, first)
    return found


def in_order(clock: Clock) -> Clock:
    """Return a clock that shows `decode`, `network` and `encode` side by side.

    Frames are pulled through, so that the encoder's section holds the network's, and the network's the decoder's.
    """

    def call(function: Callable[[], Any]) -> dict[str, float]:
        seconds = clock(function)
        encode, network, decode = (seconds[path] for path in ("encode", "encode/network", "encode/network/decode"))
        return {TOTAL: seconds[TOTAL], "decode": decode, "network": network - decode, "encode": encode - network}

    return call


def builtin_clip(folder: Path) -> Path:
    """Write the LQ frames of the first built-in test clip into a file and return it."""
    name = builtin.names("test")[0]
    path = folder / f"{name}.mp4"
    video.write(path, as_tensor(builtin.make(name).lq), fps=builtin.FPS)
    return path


def each(name: str, items: Iterable[_Item]) -> Iterator[_Item]:
    """Yield the items, each of them made inside a section."""
    iterator = iter(items)
    while True:
        with section(name):
            try:
                item = next(iterator)
            except StopIteration:
                return
        yield item
