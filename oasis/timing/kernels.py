"""Which kernels a call runs, from torch's profiler; a run of its own, never a timed one."""

from collections.abc import Callable
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

LEAST = 0.01
"""Kernels with less than this share of the time are left out."""


def kernel_names(function: Callable[[], Any], device: torch.device | str = "cpu") -> list[str]:
    """Return the names of the kernels that take at least `LEAST` of the time of a call, the longest first.

    On CUDA these are the device's kernels, on the CPU torch's operators by the time that is their own.
    """
    on_cuda = torch.device(device).type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_cuda else [])]
    with profile(activities=activities) as found:
        function()
        if on_cuda:
            torch.cuda.synchronize(device)
    seconds = {}
    for event in found.key_averages():
        if on_cuda and event.device_type.name == "CUDA":
            seconds[event.key] = event.self_device_time_total
        if not on_cuda:
            seconds[event.key] = event.self_cpu_time_total
    total = sum(seconds.values())
    longest = sorted(seconds, key=lambda name: (-seconds[name], name))
    return [name for name in longest if seconds[name] >= LEAST * total]
