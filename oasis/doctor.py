"""What this machine can do: versions, devices, attention backends, codecs, and what is missing."""

import importlib.util
import platform
import shutil
import sys
import warnings
from collections.abc import Iterator
from importlib import metadata

import av
import torch

from oasis import __version__
from oasis.attention import BACKENDS, attend
from oasis.grid import Grid
from oasis.model import load_model
from oasis.routing import FRAME, GLOBAL, window

PACKAGES = (
    *("torch", "torchvision", "numpy", "pandas", "matplotlib", "seaborn", "pyiqa", "lpips", "scikit-learn", "scikit-image"),
    *("fvcore", "pytest-benchmark", "diffusers", "av", "safetensors", "einops"),
)
CODECS = ("libx264", "ffv1", "png")


def report() -> Iterator[str]:
    """Yield lines; each check is really run, and a failure is its line, not an exception."""
    yield f"oasis-vsr {__version__}, Python {sys.version.split()[0]}, {platform.platform()}"
    for name in PACKAGES:
        yield f"package   {name:18s} {_version(name)}"
    yield f"device    cpu                {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"
    yield f"device    cuda               {_cuda()}"
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    for device in devices:
        for backend in BACKENDS:
            yield f"attention {backend + ' on ' + device:18s} {_try_backend(backend, device)}"
    for codec in CODECS:
        yield f"codec     {codec:18s} {'works' if codec in av.codecs_available else 'MISSING from this build of PyAV'}"
    yield f"tool      {'ffmpeg':18s} {shutil.which('ffmpeg') or 'not installed (only VMAF would need it)'}"
    compiler = shutil.which("g++") or shutil.which("c++")
    yield f"tool      {'C++ compiler':18s} {compiler or 'not installed (flex attention needs it on a CPU)'}"
    yield f"model     {'tiny':18s} {_try_model()}"
    triton = importlib.util.find_spec("triton") is not None
    yield f"optional  {'triton':18s} {'installed' if triton else 'not installed (flex attention needs it on CUDA)'}"


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "MISSING"


def _cuda() -> str:
    if not torch.cuda.is_available():
        return f"none (torch was built for CUDA {torch.version.cuda or 'not at all'})"
    return f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"


def _try_backend(backend: str, device: str) -> str:
    grid = Grid(2, 8, 8)
    dtype = torch.bfloat16 if backend == "varlen" else torch.float32
    q, k, v = torch.randn(3, 1, 3, grid.tokens, 16, device=device, dtype=dtype)
    patterns = (GLOBAL, FRAME, window(4, 4))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            error = (
                (attend(q, k, v, patterns, grid, backend=backend) - attend(q, k, v, patterns, grid, backend="masked"))
                .abs()
                .max()
            )
    except Exception as reason:  # whatever a compiler or driver raises is the answer here
        first_line, _, _ = str(reason).partition("\n")
        return f"does not run: {type(reason).__name__}: {first_line[:120]}"
    return f"works (largest difference to the mask {error:.1e})"


def _try_model() -> str:
    try:
        loaded = load_model("tiny")
    except (ValueError, OSError) as error:
        return f"does not load: {error}"
    return f"loads, {'trained' if loaded.trained else 'UNTRAINED WEIGHTS'}, sha256 {loaded.weights_sha256[:12]}"
