"""A whole network: dense against routed, in all and by phase, for LQ clips of any size."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from oasis import probe
from oasis.attention import sdpa
from oasis.configs import PRESETS
from oasis.grid import Grid
from oasis.model import build, fp8, graphed, load_model, route
from oasis.model.oasis import Oasis
from oasis.model.ordering import attend_by
from oasis.model.unshuffle import pad_clip
from oasis.timing.attention import DENSE
from oasis.timing.found import DTYPES, Found, Setting
from oasis.timing.kernels import kernel_names
from oasis.timing.machine import state
from oasis.timing.memory import peak_mib
from oasis.timing.overhead import count_sections, overhead
from oasis.timing.phases import TOTAL, Clock, cpu_clock, cuda_clock, own
from oasis.timing.rounds import Measurement, measure_phases
from oasis.timing.routings import table

Clip = tuple[int, int, int]
"""Frames, rows and columns of an LQ clip."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network to time: `model` as `load_model` knows it; `layers` for the first ones only of random weights.

    `routing` is a routing.json or shares of patterns; None is dense. `dense` is the dense backend, which folded attention
    calls, too. `fp8`: its linear layers are in fp8; `graph`: its steps are replayed as CUDA graphs.
    """

    model: str
    layers: int | None = None
    routing: str | None = None
    backend: str = "folded"
    fp8: bool = False
    graph: bool = False
    dense: str = sdpa.PLAIN
    device: str = "cpu"
    dtype: str = "float32"

    @property
    def name(self) -> str:
        """The name of a row's subject."""
        size = "" if self.layers is None else f" {self.layers} layers"
        return f"{self.model}{size} {self.routing or DENSE}{' fp8' * self.fp8}{' graph' * self.graph}"


@dataclass(frozen=True, kw_only=True)
class Request:
    """Which networks to time: the model dense, then with each routing by each backend, on each LQ clip.

    `fp8` and `graph`: all of them so, too, and with both together.
    """

    model: str = "tiny"
    layers: int | None = None
    clips: Sequence[Clip] = ((17, 48, 80),)
    routings: Sequence[str] = ()
    backends: Sequence[str] = ("folded",)
    fp8: bool = False
    graph: bool = False
    memory: bool = True
    setting: Setting


def made(network: Network) -> Oasis:
    """Build or load a network for inference; ValueError if the routing is not for it or has other sizes."""
    if network.layers is None:
        model, weights_sha256, _ = load_model(network.model)
    else:
        model, weights_sha256 = _shortened(network.model, network.layers), None
    if network.routing is not None:
        config, from_file = model.config, network.routing.endswith(".json")
        wanted = table(network.routing, config.name, config.dit.layers, config.dit.heads)
        route(model, wanted, weights_sha256 if from_file else None)
    attend_by(model, network.backend)
    model.to(network.device, DTYPES[network.dtype])
    if network.fp8:
        fp8.use(model)
    return graphed.capture(model) if network.graph else model


def forward(network: Network, clip: Clip, model: Oasis | None = None) -> Callable[[], Tensor]:
    """Return a function without arguments that upscales a random clip once."""
    model = made(network) if model is None else model
    noise = torch.randn((1, 3, *clip), generator=torch.Generator().manual_seed(0)).to(network.device, DTYPES[network.dtype])

    @torch.no_grad()
    def call() -> Tensor:
        with sdpa.preferring(network.dense):
            return model(noise)

    return call


def profile(request: Request) -> Found:
    """Time every clip and return a row for each network and phase, the dense one first."""
    where = request.setting
    found = Found(setting=where)
    models = {network: made(network) for network in networks(request)}
    clock = cpu_clock() if where.device == "cpu" else cuda_clock()
    for clip in request.clips:
        found.tokens[case_of(clip)] = token_grid(next(iter(models.values())), clip).tokens
        here = with_fastest_dense(models, clip, where)
        calls = {str(network): forward(network, clip, model) for network, model in here.items()}
        first = next(iter(calls.values()))
        found.before = found.before or state(where.device, first)
        timed = measure_phases(calls, where.rounds, device=where.device, cold=where.cold, clock=with_rest(clock))
        for network, phases in zip(here, timed.values(), strict=True):
            # A replay allocates nothing: its memory was taken when it was captured.
            wanted = request.memory and not network.graph
            peak = peak_mib(forward, network, clip, device=where.device) if wanted else None
            _add(found, network, clip, phases, peak)
            sections = count_sections(calls[str(network)])
            found.harness_overhead = max(found.harness_overhead, overhead(clock, sections) / phases[TOTAL].p50)
            if clip == request.clips[0]:
                found.kernels[f"{network.name} ({network.backend})"] = kernel_names(calls[str(network)], where.device)
        found.after = state(where.device, first)
    return found


def networks(request: Request) -> list[Network]:
    """Return the dense network, every routing by every backend, and where asked for all of them in fp8, as graphs, and both."""
    where = request.setting
    plain = Network(model=request.model, layers=request.layers, device=where.device, dtype=where.dtype)
    routed = [dataclasses.replace(plain, routing=r, backend=b) for r in request.routings for b in request.backends]
    found = [plain, *routed]
    found += [dataclasses.replace(network, fp8=True) for network in found if request.fp8]
    return found + [dataclasses.replace(network, graph=True) for network in found if request.graph]


def with_fastest_dense(models: Mapping[Network, Oasis], clip: Clip, where: Setting) -> dict[Network, Oasis]:
    """Return the networks with the dense backend that is the fastest on the tokens of an LQ clip of this size."""
    model = next(iter(models.values()))
    shape = (1, model.config.dit.heads, token_grid(model, clip).tokens, model.config.dit.head_dim)
    q, k, v = (torch.empty(shape, device=where.device, dtype=where.torch_dtype).normal_() for _ in range(3))
    dense, _ = sdpa.fastest(q, k, v)
    return {dataclasses.replace(network, dense=dense): model for network, model in models.items()}


def case_of(clip: Clip) -> str:
    """Return a row's case of an LQ clip."""
    return "x".join(map(str, clip))


def token_grid(model: Oasis, clip: Clip) -> Grid:
    """Return the token grid of an LQ clip."""
    return probe.token_grid(model, pad_clip(torch.zeros(1, 3, *clip), model.config.scale, model.config.dit.patch).clip)


def with_rest(clock: Clock) -> Clock:
    """Return a clock that adds what `dit` and the whole spend outside their sections, as `dit/rest` and `rest`.

    A step that is replayed has no sections inside it, and then nothing is added.
    """

    def call(function: Callable[[], Any]) -> dict[str, float]:
        seconds = clock(function)
        outside = own(seconds)
        if "dit" not in seconds:
            return seconds
        last = [phase for phase in seconds if phase.startswith("dit/")][-1]
        found: dict[str, float] = {}
        for phase, taken in seconds.items():
            found[phase] = taken
            if phase == last:
                found["dit/rest"] = outside["dit"]
        return found | {"rest": outside[TOTAL]}

    return call


def _add(found: Found, network: Network, clip: Clip, phases: dict[str, Measurement], peak: float | None) -> None:
    for phase, measured in phases.items():
        found.add(
            measured,
            subject=network.name,
            what="model",
            phase=phase,
            case=case_of(clip),
            backend=network.dense if network.routing is None else network.backend,
            baseline=dataclasses.replace(network, routing=None, fp8=False, graph=False).name,
            peak_mib=peak if phase == TOTAL else None,
            frames=clip[0],
        )


def _shortened(model: str, layers: int) -> Oasis:
    preset = model.removeprefix("random-")
    if preset not in PRESETS or preset == model or layers < 1:
        allowed = ", ".join(f"random-{name}" for name in PRESETS)
        raise ValueError(f"layers is {layers} for {model!r}; allowed: at least 1, of {allowed}")
    config = PRESETS[preset]
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)  # torch.manual_seed would seed other devices too
        short = build(dataclasses.replace(config, name=model, dit=dataclasses.replace(config.dit, layers=layers)))
    short.requires_grad_(False).fold_constants()
    return short
