"""How much could be gained at all: bicubic with every error corrected that the LQ grid can hold."""

import torch
from jaxtyping import UInt8
from scipy.fft import dctn, idctn
from torch import Tensor


def in_band(upscaled: UInt8[Tensor, "t 3 y x"], hr: UInt8[Tensor, "t 3 y x"], scale: int) -> UInt8[Tensor, "t 3 y x"]:
    """Return `upscaled` with its errors below the Nyquist frequency of the LQ grid corrected from the ground truth.

    Frequencies are those of each frame's 2-D DCT-II, which reflects frames at their borders: rows below y / scale and columns
    below x / scale. What a method adds above them it did not find in one LQ frame: it comes from aliases that move from frame
    to frame, or is guessed. ValueError if the frames differ in shape or are no multiple of `scale`.
    """
    y, x = hr.shape[-2:]
    if upscaled.shape != hr.shape or y % scale or x % scale:
        raise ValueError(
            f"frames {tuple(upscaled.shape)} and {tuple(hr.shape)} must be equal in shape and multiples of {scale}"
        )
    frames = []
    for have, want in zip(upscaled, hr, strict=True):  # frame by frame, for memory
        error = dctn(want.double().numpy() - have.double().numpy(), axes=(-2, -1), norm="ortho")
        error[:, y // scale :] = 0
        error[:, :, x // scale :] = 0
        frames.append(have + torch.from_numpy(idctn(error, axes=(-2, -1), norm="ortho")))
    return torch.stack(frames).round().clamp(0, 255).to(torch.uint8)
