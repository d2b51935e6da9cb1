"""The machine behind a timing: what it is, how fast its clocks run, whether it slowed itself down."""

import math
import os
import platform
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

import oasis
from oasis.timing.phases import TOTAL, cuda_clock

_CPU = Path("/sys/devices/system/cpu")
_LOADED = 1.0
"""Seconds of work that are queued on a CUDA device before it is asked for its clocks."""
_SLOWDOWNS = ("sw_thermal_slowdown", "hw_thermal_slowdown", "hw_power_brake_slowdown", "sw_power_cap")


@dataclass(frozen=True, kw_only=True)
class State:
    """Clocks in MHz, and how often or for how long the machine has slowed itself down so far; None where it does not say."""

    clocks_mhz: float | None
    slowdowns: int | None


def state(device: torch.device | str, load: Callable[[], Any]) -> State:
    """Return what the machine says; on CUDA while it runs `load` over and over, because an idle device lowers its clocks."""
    if torch.device(device).type != "cuda":
        return State(clocks_mhz=_processor_mhz(), slowdowns=_processor_slowdowns())
    seconds = cuda_clock()(load)[TOTAL]
    for _ in range(math.ceil(_LOADED / seconds)):
        load()
    clocks = _nvidia_smi(device, "clocks.sm")
    slowdowns = _nvidia_smi(device, ",".join(f"clocks_event_reasons_counters.{name}" for name in _SLOWDOWNS))
    torch.cuda.synchronize(device)
    return State(clocks_mhz=clocks[0] if clocks else None, slowdowns=int(sum(slowdowns)) if slowdowns else None)


def throttled(before: State, after: State) -> bool | None:
    """Return whether the machine slowed itself down in between; None where it does not say."""
    if before.slowdowns is None or after.slowdowns is None:
        return None
    return after.slowdowns > before.slowdowns


def processor(device: torch.device | str) -> str:
    """Name the hardware behind a device."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    return found[1] if found else platform.machine()


def fingerprint(
    device: torch.device | str, before: State, after: State, kernels: dict[str, list[str]], harness_overhead: float
) -> dict[str, Any]:
    """Return what a timing file says about where its rows come from; `harness_overhead` is a share of the shortest time."""
    return {
        "processor": processor(device),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gib": round(_memory_bytes(device) / 2**30, 1),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "oasis": oasis.__version__,
        "clocks_mhz": [before.clocks_mhz, after.clocks_mhz],
        "throttled": throttled(before, after),
        "kernels": kernels,
        "harness_overhead": float(f"{harness_overhead:.2g}"),
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _memory_bytes(device: torch.device | str) -> int:
    if torch.device(device).type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _processor_mhz() -> float | None:
    """Return the mean over the cores, from cpufreq (kHz) or, where there is none, from /proc/cpuinfo."""
    texts = [path.read_text(encoding="ascii") for path in _CPU.glob("cpu[0-9]*/cpufreq/scaling_cur_freq")]
    found = [int(text) / 1000 for text in texts]
    if not found:
        found = [float(mhz) for mhz in re.findall(r"cpu MHz\s*: ([\d.]+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))]
    return round(sum(found) / len(found), 1) if found else None


def _processor_slowdowns() -> int | None:
    counts = [int(path.read_text(encoding="ascii")) for path in _CPU.glob("cpu[0-9]*/thermal_throttle/*_throttle_count")]
    return sum(counts) if counts else None


def _nvidia_smi(device: torch.device | str, fields: str) -> list[float]:
    """Return numbers from the driver's own tool; none where it is missing or does not know one of the fields."""
    uuid = torch.cuda.get_device_properties(device).uuid
    command = ["nvidia-smi", "-i", f"GPU-{uuid}", f"--query-gpu={fields}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        return [float(text.split()[0]) for text in done.stdout.split(",")]
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return []
