from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from oasis import video
from oasis.data import builtin
from oasis.data.clips import as_tensor


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with gt/ and outputs/ of three small clips; outputs are noisy."""
    root = tmp_path_factory.mktemp("pairs")
    for part in ("gt", "outputs", "lq"):
        (root / part).mkdir()
    generator = np.random.default_rng(0)
    for number, name in enumerate(("chelsea-zoom", "flower-turn", "camera-flower-cut")):
        clip = builtin.make(name, frames=6, height=96, width=128)
        noisy = clip.hr + generator.normal(0, 4 + number, clip.hr.shape)
        output = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
        video.write(root / "gt" / f"{number:03d}.mkv", as_tensor(clip.hr), 25)
        video.write(root / "lq" / f"{number:03d}.mkv", as_tensor(clip.lq), 25)
        if number == 1:
            video.write(root / "outputs" / f"{number:03d}", as_tensor(output), 25)
        else:
            video.write(root / "outputs" / f"{number:03d}.mkv", as_tensor(output), 25)
    return root


@pytest.fixture(autouse=True)
def no_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("OASIS_WEIGHTS", str(tmp_path / "no-weights"))
    yield
