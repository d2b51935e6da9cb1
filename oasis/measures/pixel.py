"""PSNR and SSIM as the field's tools really compute them."""

import re

from oasis.measures.measure import Measure

_BASICSR = "XPixelGroup/BasicSR@8d56e3a metrics/psnr_ssim.py, open-mmlab/mmagic@0a560bb"
_PYIQA = "chaofengc/IQA-PyTorch@01ae427 (pyiqa 0.1.16)"
_TECOGAN = "thunil/TecoGAN@bc747a4 metrics.py"
_MATLAB = "psychopa4/PFNL@b575497 (MATLAB's rgb2ycbcr on uint8)"


def _psnr(protocol: str, what: str, source: str) -> Measure:
    return Measure(name=f"psnr@{protocol}", unit="dB", better="higher", needs="reference", what=what, source=source)


def _ssim(protocol: str, what: str, source: str) -> Measure:
    return Measure(name=f"ssim@{protocol}", unit="", better="higher", needs="reference", what=what, source=source)


CROPPED = (
    _psnr("rgb", "RGB 0..255, all channels in one error; infinite for equal frames", _BASICSR),
    _psnr("y", "BT.601 luma in limited range, 16..235, not rounded, against a peak of 255", _BASICSR),
    _psnr("y-rounded", "BT.601 luma in limited range, rounded to integers, against a peak of 255", _MATLAB),
    _psnr(
        "y-full",
        "BT.601 luma in full range, 0..255, not rounded: psnr@y less 1.322 dB",
        "shared by many; pyiqa's without its 1e-8",
    ),
    _psnr("pyiqa", "RGB in [0, 1], 1e-8 added to the error: 80 dB for equal frames", f"{_PYIQA} `psnr`"),
    _psnr("pyiqa-y", "BT.601 luma in full range in [0, 1], 1e-8 added to the error", f"{_PYIQA} `psnry`"),
    _psnr(
        "dove-y",
        "Y = .0625 + .257 R + .504 G + .098 B in [0, 1], 1e-8 added to the error",
        "zhengchen1999/DOVE@ad649cc --test_y_channel",
    ),
    _ssim("rgb", "mean over R, G and B; Gaussian window 11, sigma 1.5, whole windows only", _BASICSR),
    _ssim("y", "BT.601 luma in limited range, not rounded; window as in ssim@rgb", _BASICSR),
    _ssim("pyiqa", "BT.601 luma in full range, rounded; window as in ssim@rgb, contrast clamped at 0", f"{_PYIQA} `ssim`"),
    _ssim("pyiqa-rgb", "ssim@rgb with contrast clamped at 0", f"{_PYIQA} `ssimc`"),
)
"""Measures that may lose a border first, as in "psnr@y-crop4"."""

PIXEL = (
    *CROPPED,
    _psnr("tecogan", "psnr@y on TecoGAN's crop, without its first and last two frames", _TECOGAN),
    _ssim("tecogan", "luma as in psnr@tecogan; flat window 7, range = that of the output's luma in the frame", _TECOGAN),
)


def crop_of(name: str) -> tuple[str, int]:
    """Split a measure's full name into its base and the border that it cuts: "psnr@y-crop4" is ("psnr@y", 4).

    The border is in pixels, 0 for a name without one. ValueError for a border that is no whole number from 1, and for a
    measure that does not take any.
    """
    base, mark, border = name.partition("-crop")
    if not mark:
        return name, 0
    allowed = [measure.name for measure in CROPPED]
    if base not in allowed:
        raise ValueError(f"measure {name!r}: {base} cuts no border; allowed before -crop: {', '.join(allowed)}")
    if not re.fullmatch("[1-9][0-9]*", border):
        raise ValueError(f"measure {name!r}: the border {border!r} must be a whole number of pixels from 1")
    return base, int(border)
