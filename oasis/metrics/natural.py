"""Measures without reference that compare a frame's statistics with natural ones, through pyiqa (PolyForm-Noncommercial).

They run on the CPU, whatever the device. Their parameters are read by scipy and numpy, never unpickled.
"""

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from einops import rearrange

from oasis import weights
from oasis.metrics.frames import Frame
from oasis.metrics.framewise import Score
from oasis.metrics.loading import load, readable

Blind = Callable[[Frame], float]

SMALLEST = {"niqe": 96, "brisque": 16, "nrqm": 45, "pi": 104}
"""The shortest side, in pixels, that each family can be taken of: one block of NIQE, a border of 4 around it for PI, and what
NRQM's steerable pyramid leaves a window of 11 pixels of."""


def score(name: str) -> Score:
    """Return the score of measure `name`; `weights.Missing` or ValueError if its parameters are not here or not right."""
    blind = _blind(name)
    return lambda output, _: blind(output)


def _blind(name: str) -> Blind:
    match name:
        case "niqe@pyiqa":
            return _niqe(weights.find("niqe"))
        case "niqe@basicsr":
            return _niqe_basicsr(weights.find("niqe_basicsr"))
        case "brisque@pyiqa":
            return _brisque(weights.find("brisque"))
        case "brisque@imquality":
            return _brisque_imquality(weights.find("brisque_imquality"))
        case "nrqm@pyiqa":
            return _nrqm(weights.find("nrqm"))
        case "pi@pyiqa":
            # As pyiqa's PI, which cuts 4 pixels off every border and takes limited-range luma for both of its parts.
            nrqm = _nrqm(weights.find("nrqm"), crop=4, colour="ycbcr")
            niqe = _niqe(weights.find("niqe"), crop=4, colour="ycbcr")
            return lambda frame: (10 - nrqm(frame) + niqe(frame)) / 2
    raise ValueError(f"{name} is no measure of natural statistics")


@functools.cache
def _niqe(path: Path, crop: int = 0, colour: str = "yiq") -> Blind:
    from pyiqa.archs.niqe_arch import NIQE

    with readable(path, "NIQE"):
        network = NIQE(crop_border=crop, color_space=colour, pretrained_model_path=str(path))
    return lambda frame: float(network(frame.tensor))


@functools.cache
def _nrqm(path: Path, crop: int = 0, colour: str = "yiq") -> Blind:
    from pyiqa.archs.nrqm_arch import NRQM

    with readable(path, "NRQM"):
        network = NRQM(crop_border=crop, color_space=colour, pretrained_model_path=str(path))
    return lambda frame: float(network(frame.tensor))


@functools.cache
def _niqe_basicsr(path: Path) -> Blind:
    """Return pyiqa's NIQE of BasicSR's luma against BasicSR's parameters: equal to BasicSR's own within 1e-5."""
    from pyiqa.archs.niqe_arch import calculate_niqe

    with readable(path, "NIQE"), np.load(path) as stored:
        mean, covariance = (torch.from_numpy(stored[key]) for key in ("mu_pris_param", "cov_pris_param"))

    def niqe(frame: Frame) -> float:
        # In BasicSR's precision: it decides where the halves fall that are rounded, and a single pixel moves NIQE by 1e-4.
        luma = ((frame.rgb.astype(np.float32) / 255) @ np.array([65.481, 128.553, 24.966]) + 16).astype(np.float32) / 255
        grey = rearrange(torch.from_numpy(luma), "h w -> 1 1 h w")
        return float(calculate_niqe(grey, mu_pris_param=mean, cov_pris_param=covariance))

    return niqe


@functools.cache
def _brisque(path: Path) -> Blind:
    from pyiqa.archs.brisque_arch import brisque

    with readable(path, "BRISQUE"):
        coefficients, vectors = load(path)
    return lambda frame: float(brisque(frame.tensor, sv_coef=coefficients, sv=vectors))


@functools.cache
def _brisque_imquality(path: Path) -> Blind:
    """Return imquality's support vector regression on pyiqa's features of rounded full-range luma, at full and half size."""
    from pyiqa.archs.brisque_arch import natural_scene_statistics
    from pyiqa.matlab_utils import imresize

    with readable(path, "BRISQUE"), np.load(path) as stored:
        keys = ("sv", "sv_coef", "rho", "gamma", "feat_min", "feat_max")
        vectors, coefficients, rho, gamma, least, most = (stored[key].astype(np.float64) for key in keys)

    def brisque(frame: Frame) -> float:
        luma = rearrange(torch.from_numpy(frame.y_full.round()), "h w -> 1 1 h w")
        half = imresize(luma, scale=0.5, antialiasing=True)
        features = torch.cat([natural_scene_statistics(luma), natural_scene_statistics(half)], dim=-1).numpy()
        scaled = 2 * (features - least) / (most - least) - 1
        return float(coefficients @ np.exp(-gamma * ((scaled - vectors) ** 2).sum(axis=1)) - rho)

    return brisque
