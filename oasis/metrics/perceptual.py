"""Measures of perceived quality by networks with published weights, and by natural statistics (`natural`).

The lpips package is BSD; pyiqa is PolyForm-Noncommercial and imported only when one of its measures is asked for.
"""

import functools
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from oasis import weights
from oasis.metrics import natural
from oasis.metrics.framewise import Framewise, Score, check_size, exact, paired
from oasis.metrics.loading import clip_importable, empty_trunks, fill, load, readable
from oasis.metrics.meter import Meter, Setting, Unavailable
from oasis.metrics.tecogan import tecogan_crop, tecogan_frames

SMALLEST = {"lpips": 31, "dists": 16, "clipiqa": 32, "musiq": 32, "maniqa": 32} | natural.SMALLEST
"""The shortest side, in pixels, that each family can be taken of."""

Distance = Callable[[Float[Tensor, "1 3 h w"], Float[Tensor, "1 3 h w"]], Float[Tensor, ""]]


def make(names: Sequence[str], setting: Setting) -> Meter:
    """Return a meter of `names`; `Unavailable` if weights are missing, ValueError if a clip is too small or short."""
    for name in names:
        check_size(name, SMALLEST[name.partition("@")[0]], setting)
    try:
        scores = {name: _score(name, setting) for name in names}
    except weights.Missing as missing:
        raise Unavailable(str(missing)) from missing
    return Framewise(scores, setting, {name: tecogan_frames(setting.frames) for name in names if name == "lpips@tecogan"})


def lpips_network(net: Literal["alex", "vgg"], device: str = "cpu") -> Distance:
    """Return LPIPS v0.1 (Zhang et al. 2018, the package lpips) as a function of two frames, RGB in [0, 1].

    `weights.Missing` if the trunk's weights are not here, ValueError if they are not right.
    """
    network = _lpips(net, weights.find({"alex": "alexnet", "vgg": "vgg16"}[net]), device)

    def distance(first: Tensor, second: Tensor) -> Tensor:
        with exact():
            return network(first.to(device), second.to(device), normalize=True).squeeze()

    return distance


def _score(name: str, setting: Setting) -> Score:
    device = setting.device
    match name:
        case "lpips@alex":
            return _distance(lpips_network("alex", device))
        case "lpips@vgg":
            return _distance(lpips_network("vgg", device))
        case "lpips@tecogan":
            return _cropped(lpips_network("alex", device), *tecogan_crop(setting.height, setting.width))
        case "dists@pyiqa":
            return _distance(_dists(weights.find("vgg16"), weights.find("dists"), device), device)
        case "clipiqa@pyiqa":
            return _quality(_clipiqa(weights.find("clipiqa"), device), device)
        case "musiq@pyiqa":
            return _quality(_musiq(weights.find("musiq_koniq"), device), device)
        case "maniqa@pyiqa":
            return _quality(_maniqa(weights.find("maniqa_koniq"), device), device)
    return natural.score(name)


def _distance(network: Callable[[Tensor, Tensor], Tensor], device: str = "cpu") -> Score:
    return paired(lambda output, reference: float(network(output.tensor.to(device), reference.tensor.to(device))))


def _cropped(network: Distance, rows: slice, columns: slice) -> Score:
    return paired(
        lambda output, reference: float(network(output.tensor[..., rows, columns], reference.tensor[..., rows, columns]))
    )


def _quality(network: nn.Module, device: str) -> Score:
    return lambda output, _: float(network(output.tensor.to(device)))


@functools.cache
def _lpips(net: str, path: Path, device: str) -> nn.Module:
    import lpips

    with empty_trunks():
        network = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    with readable(path, "LPIPS's trunk"):
        fill(network.net, _trunk(path, network.net))
    return network.eval().requires_grad_(False).to(device)


@functools.cache
def _dists(trunk: Path, path: Path, device: str) -> nn.Module:
    from pyiqa.archs.dists_arch import DISTS

    with empty_trunks():
        network = DISTS(pretrained=False)
    state = {name: value for name, value in network.state_dict().items() if not value.is_meta}
    with readable(path, "DISTS"):
        learned = load(path)
        if set(learned) != {"alpha", "beta"}:
            raise ValueError(f"it holds {', '.join(learned)}, expected alpha and beta")
    with readable(trunk, "DISTS's trunk"):
        return fill(network, state | learned | _trunk(trunk, network)).to(device)


def _trunk(path: Path, network: nn.Module) -> dict[str, Tensor]:
    """Return torchvision's features under the names of `network`, which keeps their numbers: features.5 is slice2.5."""
    stored = load(path)
    wanted = [name for name, value in network.state_dict().items() if value.is_meta]
    return {name: stored[f"features.{name.partition('.')[2]}"] for name in wanted}


@functools.cache
def _clipiqa(path: Path, device: str) -> nn.Module:
    with clip_importable():
        from pyiqa.archs.clipiqa_arch import CLIPIQA
    with readable(path, "CLIP RN50"), torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # OpenAI's file is a TorchScript archive, and torch says that those are old
        return CLIPIQA(backbone=str(path)).eval().to(device)


@functools.cache
def _musiq(path: Path, device: str) -> nn.Module:
    from pyiqa.archs.musiq_arch import MUSIQ

    with torch.random.fork_rng(devices=[]):
        network = MUSIQ(pretrained=False)
    with readable(path, "MUSIQ"):
        return fill(network, load(path)).to(device)


@functools.cache
def _maniqa(path: Path, device: str) -> nn.Module:
    from pyiqa.archs.maniqa_arch import MANIQA

    with empty_trunks():
        network = MANIQA(pretrained=False, scale=0.8)  # the scale that pyiqa's `maniqa` has for these weights
    with readable(path, "MANIQA"):
        return fill(network, load(path)).to(device)


WITHOUT_WEIGHTS = ("gmsd", "ms_ssim")
"""pyiqa's names of full-reference measures that need no downloaded weights; GMSD falls, MS-SSIM rises with quality."""


def scorer(name: str) -> Callable[[UInt8[Tensor, "t 3 h w"], UInt8[Tensor, "t 3 h w"]], float]:
    """Return a function of a clip and its reference, RGB 0..255: the mean of pyiqa's measure over frames."""
    if name not in WITHOUT_WEIGHTS:
        raise ValueError(f"measure {name!r} is unknown; allowed: {', '.join(WITHOUT_WEIGHTS)}")
    import pyiqa

    measure = pyiqa.create_metric(name, device="cpu")

    @torch.no_grad()
    def score(frames: Tensor, reference: Tensor) -> float:
        if frames.shape != reference.shape:
            raise ValueError(f"clips of {tuple(frames.shape)} and {tuple(reference.shape)} cannot be compared")
        return float(measure(frames.float() / 255, reference.float() / 255).mean())

    return score
