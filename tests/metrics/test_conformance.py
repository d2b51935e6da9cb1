"""The vectors of protocol.md, section 9: pictures made by formula, values made with pyiqa 0.1.16 and plain NumPy."""

import numpy as np
import pytest
from numpy import cos, sin

from oasis.metrics import pixel
from oasis.metrics.frames import Frame
from oasis.metrics.meter import Setting

VALUES = {
    "psnr@rgb": 34.061329,
    "psnr@pyiqa": 34.061218,
    "psnr@rgb-crop4": 34.061753,
    "psnr@y": 41.287211,
    "psnr@y-rounded": 41.140178,
    "psnr@y-full": 39.965289,
    "psnr@pyiqa-y": 39.964859,
    # The protocol prints 41.286766, the value without the 1e-8 that pyiqa's PSNR adds when DOVE calls it.
    "psnr@dove-y": -10 * np.log10(10**-4.1286766 + 1e-8),
    "ssim@pyiqa": 0.956935,
    "ssim@pyiqa-rgb": 0.913246,
    "ssim@rgb": 0.913246,
    "ssim@y": 0.963736,
}


def pictures() -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[0:144, 0:176].astype(float)
    r = 127.5 + 60 * sin(x / 7) + 50 * cos(y / 11)
    g = 127.5 + 55 * sin((x + y) / 9) + 45 * cos((x - 2 * y) / 13)
    b = 127.5 + 70 * sin(x * y / 900) + 30 * cos(x / 5)
    truth = np.stack([r, g, b], axis=-1).round().clip(0, 255)
    errors = 6 * sin(1.7 * x + 0.9 * y) + 3, 5 * cos(0.8 * x - 1.3 * y) - 2, 8 * sin(2.1 * x + 2.3 * y)
    found = (truth + np.stack(errors, axis=-1)).round().clip(0, 255)
    return truth.astype(np.uint8), found.astype(np.uint8)


def test_the_pictures_are_those_of_the_protocol() -> None:
    truth, found = pictures()
    assert truth[0, 0].tolist() == [178, 172, 158]
    assert truth[10, 20].tolist() == [175, 162, 123]
    assert found[0, 0].tolist() == [181, 175, 158]
    assert (truth.sum(), found.sum()) == (9988321, 10013692)


def test_every_protocol_gives_its_value() -> None:
    truth, found = pictures()
    meter = pixel.make(list(VALUES), Setting(clip="waves", frames=1, height=144, width=176))
    meter.add(Frame(found), Frame(truth))
    for name, result in meter.result().items():
        tolerance = 1e-4 if name.startswith("psnr") else 1e-5
        assert result.value == pytest.approx(VALUES[name], abs=tolerance), name
