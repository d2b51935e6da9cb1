"""The most memory that a call needs beyond what was there before it: weights and inputs do not count."""

import multiprocessing
import re
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch

_MIB = 2**20


def peak_mib(build: Callable[..., Callable[[], Any]], *arguments: Any, device: torch.device | str = "cpu") -> float:
    """Return the MiB that a call of `build(*arguments)` adds at its highest.

    On CUDA these are MiB of torch's allocator. On the CPU it is the resident memory of a fresh process (Linux), because a
    used one keeps memory that it freed; `build` and its arguments must be picklable. ValueError if the system does not say it.
    """
    if torch.device(device).type == "cuda":
        return _peak_cuda(build(*arguments), device)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("forkserver")) as fresh:
        return fresh.submit(_peak_resident, build, arguments).result()


def _peak_resident(build: Callable[..., Callable[[], Any]], arguments: tuple[Any, ...]) -> float:
    function = build(*arguments)
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the highest so far
    except OSError as error:
        raise ValueError(f"peak memory needs a Linux that lets a process reset its own peak ({error})") from error
    before = _highest()
    function()
    return (_highest() - before) / 1024


def _highest() -> int:
    return int(re.findall(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))[0])


def _peak_cuda(function: Callable[[], Any], device: torch.device | str) -> float:
    function()  # libraries take their workspaces on the first call
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    function()
    torch.cuda.synchronize(device)
    return (torch.cuda.max_memory_allocated(device) - before) / _MIB
