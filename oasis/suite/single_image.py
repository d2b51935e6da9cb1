"""Two published networks that upscale single images fourfold: what video networks are to be compared with, frame by frame.

Trained on DIV2K with bicubic input; the weights are those of the NTIRE 2022 challenge on efficient super-resolution
(ofsoundof/NTIRE2022_ESR), looked for in `oasis.weights` and never downloaded. Modules are named as in those files.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from oasis import weights

SCALE = 4
SLOPE = 0.05
"""Of every leaky ReLU of both networks."""


class IMDN(nn.Module):
    """Information multi-distillation (Hui et al., ACM MM 2019), without its attention: the challenge's baseline.

    Images are in 0..1.
    """

    def __init__(self, width: int = 64, blocks: int = 8) -> None:
        super().__init__()
        self.model = nn.Sequential(_conv(3, width), Body(width, blocks), _conv(width, 3 * SCALE**2))

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 y x"]:
        """Return images, 4 times as large."""
        return F.pixel_shuffle(self.model(image), SCALE)


class Body(nn.Module):
    """IMDN's blocks, with one short cut around them."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.sub = nn.Sequential(*(Distillation(width) for _ in range(blocks)), _conv(width, width))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return refined features, added to `x`."""
        return x + self.sub(x)


class Distillation(nn.Module):
    """IMDN's block: three times a quarter of the channels is kept and the rest refined; what was kept is mixed."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.kept = width // 4
        self.conv1 = nn.Sequential(_conv(width, width))
        self.conv2 = nn.Sequential(_conv(width - self.kept, width))
        self.conv3 = nn.Sequential(_conv(width - self.kept, width))
        self.conv4 = _conv(width - self.kept, self.kept)
        self.conv1x1 = nn.Conv2d(4 * self.kept, width, 1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return refined features, added to `x`."""
        kept, rest = [], x
        for conv in (self.conv1, self.conv2, self.conv3):
            refined = F.leaky_relu(conv(rest), SLOPE)
            kept.append(refined[:, : self.kept])
            rest = refined[:, self.kept :]
        return x + self.conv1x1(torch.cat([*kept, self.conv4(rest)], dim=1))


class RLFN(nn.Module):
    """Residual local features (Kong et al., CVPR workshops 2022), as its authors cut it for the challenge.

    Images are in 0..255, sides of at least 15 pixels.
    """

    def __init__(self, width: int = 46, inner: int = 48) -> None:
        super().__init__()
        self.fea_conv = _conv(3, width)
        self.B1, self.B2, self.B3, self.B4 = (LocalFeatures(width, inner) for _ in range(4))
        self.LR_conv = _conv(width, width)
        self.upsampler = nn.Sequential(_conv(width, 3 * SCALE**2))

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 y x"]:
        """Return images, 4 times as large; ValueError if one is too small for the attention's pooling."""
        if min(image.shape[-2:]) < 15:
            raise ValueError(f"RLFN needs images of at least 15x15 pixels, got {image.shape[-1]}x{image.shape[-2]}")
        shallow = self.fea_conv(image)
        deep = self.B4(self.B3(self.B2(self.B1(shallow))))
        return F.pixel_shuffle(self.upsampler(self.LR_conv(deep) + shallow), SCALE)


class LocalFeatures(nn.Module):
    """RLFN's block: three convolutions with one short cut around them, then enhanced spatial attention."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.c1_r, self.c2_r, self.c3_r = _conv(width, inner), _conv(inner, inner), _conv(inner, width)
        self.c5 = nn.Conv2d(width, width, 1)
        self.esa = SpatialAttention(width, 16)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return refined features."""
        refined = x
        for conv in (self.c1_r, self.c2_r, self.c3_r):
            refined = F.leaky_relu(conv(refined), SLOPE)
        return self.esa(self.c5(refined + x))


class SpatialAttention(nn.Module):
    """Enhanced spatial attention (Liu et al., RFANet, CVPR 2020): a mask from a coarse look at the features."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, inner, 1)
        self.conv_f = nn.Conv2d(inner, inner, 1)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride=2)
        self.conv3 = _conv(inner, inner)
        self.conv4 = nn.Conv2d(inner, width, 1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return `x` times its mask."""
        narrow = self.conv1(x)
        coarse = self.conv3(F.max_pool2d(self.conv2(narrow), kernel_size=7, stride=3))
        wide = F.interpolate(coarse, size=x.shape[-2:], mode="bilinear")
        return x * torch.sigmoid(self.conv4(wide + self.conv_f(narrow)))


@dataclass(frozen=True, kw_only=True)
class Network:
    """A single-image network by the name of its weights: how it is built, and the value that white has for it."""

    title: str
    venue: str
    link: str
    build: Callable[[], nn.Module]
    white: float


NETWORKS = {
    "imdn": Network(
        title="IMDN (NTIRE 2022 baseline)",
        venue="ACM MM 2019",
        link="https://arxiv.org/abs/1909.11856",
        build=IMDN,
        white=1.0,
    ),
    "rlfn": Network(
        title="RLFN (NTIRE 2022, cut)",
        venue="CVPR Workshops 2022",
        link="https://arxiv.org/abs/2205.07514",
        build=RLFN,
        white=255.0,
    ),
}


def load(name: str) -> nn.Module:
    """Return a network of `NETWORKS` with its published weights; errors as in `weights.find`, and if a tensor does not fit."""
    path = weights.find(name)
    network = NETWORKS[name].build()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network.eval().requires_grad_(False)


def upscale(network: nn.Module, frame: UInt8[Tensor, "3 h w"], white: float) -> UInt8[Tensor, "3 y x"]:
    """Return a frame 4 times as large, rounded; `white` is what 255 is for the network."""
    device = next(network.parameters()).device
    found = network((frame.to(device, torch.float32) * (white / 255))[None])[0]
    return (found * (255 / white)).round().clamp(0, 255).to(torch.uint8)


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)
