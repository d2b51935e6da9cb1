"""Methods side by side in one run on one device: seconds of each step, peak memory, FLOPs; a method without room says so."""

import dataclasses
import gc
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from oasis import cost
from oasis.attention import sdpa
from oasis.configs import WAN_1_3B, OasisConfig
from oasis.timing import networks
from oasis.timing.compared import Compared, Subject
from oasis.timing.found import Setting
from oasis.timing.kernels import kernel_names
from oasis.timing.machine import state
from oasis.timing.memory import peak_mib
from oasis.timing.networks import DOVE, PHASES, SCALE, SMALL, SMALL_DOVE, Clip, Network
from oasis.timing.overhead import count_sections, overhead
from oasis.timing.phases import TOTAL, cpu_clock, cuda_clock
from oasis.timing.rounds import measure_phases
from oasis.timing.routings import THIRDS, table

COST_PHASES = {"encode": "unshuffle", "transformer": "dit", "decode": "decoder", TOTAL: TOTAL}
"""What `oasis.cost` calls the steps."""
_MIB = 2**20
_NO_MEMORY = re.compile(r"out of memory|can't allocate memory|ALLOC_FAILED", re.IGNORECASE)
_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Method:
    """A network by name, and how its FLOPs are counted: executed ones, by step and `total`, for an LQ clip."""

    name: str
    build: Callable[[], Network]
    count: Callable[[Clip], dict[str, int]]
    counter: str


def methods(*, small: bool = False) -> list[Method]:
    """Return OASIS dense (the baseline) and routed, Wan behind a VAE encoder, DOVE's architecture; `small`: cut down.

    Routed: a third of every layer's heads is global, a third `frame`, a third `window-8x8`, as the quota rule gives with equal
    shares per layer. Which heads these are makes no difference to the time.
    """
    config, dove = (SMALL, SMALL_DOVE) if small else (WAN_1_3B, DOVE)
    suffix = " (small)" if small else ""
    found = []
    for name, routing in (("oasis dense", None), ("oasis routed", THIRDS)):
        ours = partial(networks.Unshuffled, config, routing)
        count = partial(by_cost, config, routing)
        found.append(Method(name=name + suffix, build=ours, count=count, counter="oasis.cost executed"))
    others: dict[str, Callable[[], Network]] = {
        "wan with VAE encoder": partial(networks.Encoded, config),
        "dove architecture": partial(networks.Dove, dove),
    }
    for name, build in others.items():
        found.append(
            Method(name=name + suffix, build=build, count=partial(by_torch, build), counter="torch FlopCounterMode on meta")
        )
    return found


def by_cost(config: OasisConfig, routing: str | None, clip: Clip) -> dict[str, int]:
    """Return what `oasis.cost` counts of OASIS."""
    chosen = None if routing is None else table(routing, config.name, config.dit.layers, config.dit.heads)
    sums = cost.levels(cost.operations(config, clip, chosen))
    return {phase: sums[cost.Level(name)].executed for phase, name in COST_PHASES.items()}


@torch.no_grad()
def by_torch(build: Callable[[], Network], clip: Clip) -> dict[str, int]:
    """Return what torch's FlopCounterMode counts, in a run of its own without weights, on the meta device."""
    with torch.device("meta"):
        network, x = build().eval().requires_grad_(False), torch.empty(1, 3, *clip)
    network.prepare()
    found = {}
    for phase, step in zip(PHASES, (network.encode, network.transform, network.decode), strict=True):
        with FlopCounterMode(display=False) as counter:
            x = step(x)
        found[phase] = counter.get_total_flops()
    return found | {TOTAL: sum(found.values())}


def forward(build: Callable[[], Network], clip: Clip, where: Setting) -> Callable[[], Tensor]:
    """Return a function without arguments that upscales a random clip once."""
    return _call(networks.on_device(build, where.device, where.torch_dtype), clip, where)


def profile(chosen: Sequence[Method], clip: Clip, where: Setting, *, memory: bool = True) -> Compared:
    """Time the methods in turns on one LQ clip; the first one that has room is the baseline of ratios.

    All weights are on the device at once. ValueError for a clip that a method would pad, or if no method has room.
    """
    networks.check_clip(clip)
    found = Compared(setting=where)
    subjects = {method.name: _subject(method, clip, where) for method in chosen}
    calls = _with_room(chosen, clip, where)
    if not calls:
        raise ValueError(f"no method has room on {where.device} for an LQ clip of {_size(clip)}; allowed: a smaller one")
    baseline, first = next(iter(calls.items()))
    found.before = state(where.device, first)
    clock = cpu_clock(names=PHASES) if where.device == "cpu" else cuda_clock(names=PHASES)
    timed = measure_phases(calls, where.rounds, device=where.device, cold=where.cold, clock=clock)
    for method in chosen:
        subject = dataclasses.replace(subjects[method.name], baseline=baseline)
        if method.name not in calls:
            others = sum(subjects[name].weights_mib for name in calls)
            found.add_without_time(subject, f"out of memory: did not fit beside {others:.0f} MiB of the other methods' weights")
            continue
        call, phases = calls[method.name], timed[method.name]
        found.add(subject, phases, _peak(method, call, clip, where) if memory else None)
        found.kernels[method.name] = kernel_names(call, where.device)
        own = overhead(clock, count_sections(call)) / phases[TOTAL].p50
        found.harness_overhead = max(found.harness_overhead, own)
    found.after = state(where.device, first)
    return found


def _subject(method: Method, clip: Clip, where: Setting) -> Subject:
    with torch.device("meta"):
        parameters = sum(tensor.numel() for tensor in method.build().state_dict().values())
    return Subject(
        method=method.name,
        baseline="",
        frames=clip[0],
        pixels=SCALE**2 * clip[1] * clip[2],
        size=_size(clip),
        flops=method.count(clip),
        counter=method.counter,
        parameters=parameters,
        weights_mib=parameters * where.torch_dtype.itemsize / _MIB,
    )


def _with_room(chosen: Sequence[Method], clip: Clip, where: Setting) -> dict[str, Callable[[], Tensor]]:
    """Return the calls of the methods whose weights and first call find room beside the weights of all others."""
    models, calls = {}, {}
    for method in chosen:
        model = _unless_out_of_memory(partial(networks.on_device, method.build, where.device, where.torch_dtype))
        if model is not None:
            models[method.name] = model
    model = None
    for name in list(models):
        call = _unless_out_of_memory(partial(_tried, models[name], clip, where))
        if call is None:
            del models[name]  # makes room for the others
        else:
            calls[name] = call
    return calls


def _tried(model: Network, clip: Clip, where: Setting) -> Callable[[], Tensor]:
    call = _call(model, clip, where)
    call()
    return call


def _call(model: Network, clip: Clip, where: Setting) -> Callable[[], Tensor]:
    """Return the call; attention that is dense runs on the backend that is the fastest for this network's tokens."""
    lq = torch.rand((1, 3, *clip), generator=torch.Generator().manual_seed(0)).mul(2).sub(1).to(where.device, where.torch_dtype)
    q, k, v = (torch.empty((1, *model.attention(clip)), device=where.device, dtype=where.torch_dtype).normal_() for _ in "qkv")
    dense, _ = sdpa.fastest(q, k, v)

    @torch.no_grad()
    def call() -> Tensor:
        with sdpa.preferring(dense):
            return model(lq)

    return call


def _unless_out_of_memory(function: Callable[[], _T]) -> _T | None:
    """Return what a function returns, or None, and give back what it held, if there was not enough memory for it."""
    try:
        return function()
    except (RuntimeError, MemoryError) as error:  # torch's processor allocator has no error of its own, nor have its libraries
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and not _NO_MEMORY.search(str(error)):
            raise
    gc.collect()
    torch.cuda.empty_cache()
    return None


def _peak(method: Method, call: Callable[[], Tensor], clip: Clip, where: Setting) -> float:
    if where.device == "cpu":
        return peak_mib(forward, method.build, clip, where)  # in a process of its own
    return peak_mib(lambda: call, device=where.device)  # a second copy of the weights might not fit


def _size(clip: Clip) -> str:
    return "x".join(map(str, clip))
