"""What a score was measured with, down to versions and hashes, so that two results can be told to be comparable or not."""

import hashlib
import importlib.metadata
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import oasis
from oasis import measures, weights

# What a value can depend on. Everything else of the package may change without a new measurement.
SOURCES = ("align", "data", "degrade", "measures", "metrics", "score", "video", "cuts.py", "weights.py")
PACKAGES = ("av", "lpips", "numpy", "opencv-python-headless", "pillow", "pyiqa", "scikit-image", "torch", "torchvision")


def environment(device: str, threads: int) -> dict[str, Any]:
    """Return what any value may depend on: our code, the packages under it, and where it ran."""
    return {
        "oasis": oasis.__version__,
        "source_sha256": source_sha256(SOURCES),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "device": _device(device),
        "threads": threads,
    }


def protocol(names: Iterable[str]) -> dict[str, Any]:
    """Return versions of measures and hashes of their weights, None for weights that are not here."""
    found = {name: measures.find(name) for name in names}
    needed = sorted({weight for measure in found.values() for weight in measure.weights})
    return {
        "measures": {name: measure.version for name, measure in found.items()},
        "weights": {name: None if weights.state(name) == "missing" else weights.digest(name) for name in needed},
    }


def source_sha256(names: Iterable[str]) -> str:
    """Return a hash of the named modules (ending in .py) and packages of `oasis`."""
    root = Path(oasis.__file__).parent
    paths = [path for name in names for path in ([root / name] if name.endswith(".py") else (root / name).rglob("*.py"))]
    listing = "".join(
        f"{path.relative_to(root).as_posix()} {hashlib.sha256(path.read_bytes()).hexdigest()}\n"
        for path in sorted(paths)
        if path.exists()
    )
    return hashlib.sha256(listing.encode()).hexdigest()


def _device(device: str) -> str:
    if device != "cuda":
        return device
    import torch

    return f"cuda: {torch.cuda.get_device_name()}"
