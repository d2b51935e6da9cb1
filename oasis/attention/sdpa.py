"""Dense attention: the backends of torch's scaled_dot_product_attention by name, the fastest, and one for each pattern."""

import contextlib
import statistics
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from oasis.routing import Pattern

PLAIN = "sdpa"
"""On the CPU torch chooses the kernel itself."""
_MATH = "sdpa-math"
_CUDA = {
    "sdpa-flash": SDPBackend.FLASH_ATTENTION,
    "sdpa-cudnn": SDPBackend.CUDNN_ATTENTION,
    "sdpa-efficient": SDPBackend.EFFICIENT_ATTENTION,
    _MATH: SDPBackend.MATH,
}
NAMES = (PLAIN, *_CUDA)
_chosen: Mapping[Pattern, str] = {}


def preferring(name: str) -> AbstractContextManager[None]:
    """Let scaled_dot_product_attention use this backend, and the next ones only where it cannot run (a mask, a dtype)."""
    if name == PLAIN:
        return contextlib.nullcontext()
    return sdpa_kernel([_CUDA[name], *(other for other in _CUDA.values() if other != _CUDA[name])], set_priority=True)


@contextlib.contextmanager
def only(name: str) -> Iterator[None]:
    """Let scaled_dot_product_attention use this backend; RuntimeError from torch where it cannot run."""
    with contextlib.nullcontext() if name == PLAIN else sdpa_kernel(_CUDA[name]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns why, one line for each reason, and then raises
        yield


@contextlib.contextmanager
def using(kernels: Mapping[Pattern, str]) -> Iterator[None]:
    """Prefer a backend for each pattern that is named, wherever its heads take dense calls, until the block ends."""
    global _chosen
    before, _chosen = _chosen, kernels
    try:
        yield
    finally:
        _chosen = before


def chosen(pattern: Pattern) -> AbstractContextManager[None]:
    """Prefer the backend that `using` names for a pattern; without one torch chooses."""
    return preferring(_chosen[pattern]) if pattern in _chosen else contextlib.nullcontext()


def available(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> list[str]:
    """Return the dense backends that really run on these tensors; the one that holds all scores only if no other does.

    Where none runs, torch's error for the last one is raised, such as that of its memory.
    """
    if q.device.type != "cuda":
        return [PLAIN]
    found: list[str] = []
    for name in _CUDA:
        if name == _MATH and found:
            continue
        try:
            with only(name):
                F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        except RuntimeError:
            if name == _MATH:
                raise
        else:
            found.append(name)
    return found


def fastest(
    q: Float[Tensor, "b heads n d"],
    k: Float[Tensor, "b heads m d"],
    v: Float[Tensor, "b heads m d"],
    mask: Bool[Tensor, "n m"] | None = None,
    *,
    rounds: int = 5,
) -> tuple[str, dict[str, float]]:
    """Return the name of the fastest dense backend on these tensors, and the median seconds of each if there are several."""

    def call(name: str) -> None:
        with only(name):
            F.scaled_dot_product_attention(q, k, v, attn_mask=mask)

    found = available(q, k, v, mask)
    if len(found) == 1:
        return found[0], {}
    taken: dict[str, list[float]] = {name: [] for name in found}  # `available` has warmed them up
    for _ in range(rounds):
        for name in found:
            taken[name].append(_seconds(lambda name=name: call(name), q.device))  # type: ignore[misc]
    seconds = {name: statistics.median(times) for name, times in taken.items()}
    return min(seconds, key=seconds.__getitem__), seconds


def _seconds(function: Callable[[], None], device: torch.device) -> float:
    """Return the seconds of one call on the current stream of a CUDA device."""
    with torch.cuda.device(device):
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        function()
        stop.record()
        stop.synchronize()
    return start.elapsed_time(stop) / 1000  # milliseconds
