"""run.json: everything that decides what a training run gives, so that a resumed run is the same run."""

import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from oasis import files

FILE = "run.json"
_PACKAGES = ("torch", "numpy", "av", "diffusers", "opencv-python-headless")


def write_or_compare(folder: Path, settings: dict[str, Any], *, device: str, processes: int) -> None:
    """Write the settings of a new run, with the machine's; ValueError names what differs from a run that is to go on."""
    path = folder / FILE
    settings = json.loads(json.dumps(settings, allow_nan=False))
    if path.exists():
        _compare(path, settings)
        return
    made_on = {
        "python": platform.python_version(),
        **{name: version(name) for name in _PACKAGES},
        "device": torch.cuda.get_device_name() if device.startswith("cuda") else "cpu",
        "threads": torch.get_num_threads(),
        "processes": processes,
    }
    files.write_text(path, json.dumps({"settings": settings, "made_on": made_on}, indent=2, ensure_ascii=False) + "\n")


def read(folder: Path) -> dict[str, Any]:
    """Return what a run's folder says about it."""
    data: dict[str, Any] = json.loads((folder / FILE).read_text(encoding="utf-8"))
    return data


def _compare(path: Path, settings: dict[str, Any]) -> None:
    try:
        there = json.loads(path.read_text(encoding="utf-8"))["settings"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not the record of a training run ({error})") from error
    for name in sorted(there.keys() | settings.keys()):
        if there.get(name) != settings.get(name):
            raise ValueError(
                f"{path}: the run in this folder has {name} = {there.get(name)!r}, now it is {settings.get(name)!r}; "
                "go on with the same settings, or take another folder"
            )
