"""Dense attention: every backend of torch's scaled_dot_product_attention that runs here, by name, and the fastest."""

import contextlib
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from oasis.timing.measure import measure

PLAIN = "sdpa"
"""On the CPU torch chooses the kernel itself."""
_CUDA = {
    "sdpa-flash": SDPBackend.FLASH_ATTENTION,
    "sdpa-cudnn": SDPBackend.CUDNN_ATTENTION,
    "sdpa-efficient": SDPBackend.EFFICIENT_ATTENTION,
    "sdpa-math": SDPBackend.MATH,
}


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


def available(q: Tensor, k: Tensor, v: Tensor) -> list[str]:
    """Return the dense backends that really run on these tensors."""
    if q.device.type != "cuda":
        return [PLAIN]
    found = []
    for name in _CUDA:
        with only(name), contextlib.suppress(RuntimeError):
            F.scaled_dot_product_attention(q, k, v)
            found.append(name)
    return found


def fastest(
    q: Float[Tensor, "b heads n d"], k: Float[Tensor, "b heads n d"], v: Float[Tensor, "b heads n d"], rounds: int = 5
) -> tuple[str, dict[str, float]]:
    """Return the name of the fastest dense backend on these tensors, and the median seconds of each that runs."""

    def call(name: str) -> None:
        with only(name):
            F.scaled_dot_product_attention(q, k, v)

    found = available(q, k, v)
    if len(found) == 1:
        return found[0], {}
    timings = measure({name: lambda name=name: call(name) for name in found}, rounds, device=q.device)  # type: ignore[misc]
    seconds = {name: timing.p50 for name, timing in timings.items()}
    return min(seconds, key=seconds.__getitem__), seconds
