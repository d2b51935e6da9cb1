"""Cold caches: push everything out of the last-level cache by writing a buffer several times its size."""

import re
from collections.abc import Callable
from pathlib import Path

import torch

TIMES = 4
"""The buffer's size in caches; caches do not always throw out what was used longest ago."""
_SYSFS = Path("/sys/devices/system/cpu/cpu0/cache")
_UNITS = {"": 1, "K": 2**10, "M": 2**20}


def last_level_bytes(device: torch.device | str, sysfs: Path = _SYSFS) -> int:
    """Return the size of the largest cache before `device`'s memory; ValueError where the system does not say it."""
    if torch.device(device).type == "cuda":
        return int(torch.cuda.get_device_properties(device).L2_cache_size)
    texts = [path.read_text(encoding="ascii").strip() for path in sysfs.glob("index*/size")]
    sizes = [int(found[1]) * _UNITS[found[2]] for text in texts if (found := re.fullmatch(r"(\d+)([KM]?)", text))]
    if not sizes:
        raise ValueError(f"cold timing needs the size of the last-level cache, which {sysfs} does not say; allowed: warm")
    return max(sizes)


def flush(device: torch.device | str) -> Callable[[], None]:
    """Return a function that evicts the caches of `device` by writing `TIMES` their size."""
    buffer = torch.zeros(TIMES * last_level_bytes(device) // 4, dtype=torch.int32, device=device)

    def write() -> None:
        buffer.add_(1)

    return write
