"""Pictures for the page: one frame of every output, and one row of its pixels over time."""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from einops import rearrange, repeat
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from oasis import files

TALL = 4
"""Rows of an x-t slice for each frame."""


def moment(frames: int) -> int:
    """Return which frame is shown: one in the last half, as cuts are in the middle."""
    return 2 * frames // 3


def write(outputs: Mapping[str, UInt8[Tensor, "t 3 h w"]], folder: Path) -> None:
    """Write FOLDER/NAME.png, one whole frame, and FOLDER/NAME-xt.png, the middle row of all frames, the first on top."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, frames in outputs.items():
        _save(folder / f"{name}.png", rearrange(frames[moment(len(frames))], "c h w -> h w c").numpy())
        row = frames[:, :, frames.shape[2] // 2]
        _save(folder / f"{name}-xt.png", repeat(row.numpy(), "t c w -> (t tall) w c", tall=TALL))


def _save(path: Path, pixels: UInt8[np.ndarray, "h w 3"]) -> None:
    data = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(data, format="PNG", optimize=True)
    with files.replacing(path) as temporary:
        temporary.write_bytes(data.getvalue())
