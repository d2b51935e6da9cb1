"""A perceptual loss: distance of the features that a frozen network sees, with two such networks."""

from pathlib import Path

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from oasis.metrics.loading import fill, load, readable

WIDTHS = (32, 64, 128, 128)
"""Channels of the random network's layers."""
SQUEEZENET_AFTER = (1, 4, 7, 9, 10, 11, 12)
SQUEEZENET_MEAN = (123.68, 116.779, 103.939)
SQUEEZENET_SIDE = 17
FLOOR = 0.1
"""Length of a feature vector below which it counts as small: directions of vectors near zero are noise, and their gradients
have no bound."""


class Features(nn.Module):
    """A frozen network of layers one after another, what it sees of RGB in [-1, 1], and after which layers its features count.

    It sees `scale` times a frame plus `shift`, one number per colour; frames need sides of at least `side` pixels.
    """

    shift: Float[Tensor, "3 1 1"]

    def __init__(
        self, layers: nn.Sequential, after: tuple[int, ...], *, scale: float, shift: tuple[float, float, float], side: int
    ) -> None:
        super().__init__()
        self.layers, self.after, self.scale, self.side = layers, after, scale, side
        self.register_buffer("shift", torch.tensor(shift)[:, None, None])
        self.eval().requires_grad_(False)

    def forward(self, frames: Float[Tensor, "n 3 h w"]) -> list[Float[Tensor, "n _c _y _x"]]:
        """Return the features of frames in [-1, 1]; ValueError if they are too small."""
        height, width = frames.shape[-2:]
        if min(height, width) < self.side:
            raise ValueError(
                f"the perceptual loss needs frames of at least {self.side}x{self.side} pixels, got {height}x{width}"
            )
        found = []
        hidden = frames * self.scale + self.shift
        for number, layer in enumerate(self.layers):
            hidden = layer(hidden)
            if number in self.after:
                found.append(hidden)
        return found


def perceptual_loss(
    network: Features, predicted: Float[Tensor, "b 3 t h w"], target: Float[Tensor, "b 3 t h w"]
) -> Float[Tensor, ""]:
    """Squared distance of the features of clips in [-1, 1], frame by frame; gradients reach `predicted` only.

    Per layer, the vector of channels at each place is scaled to length 1, as in LPIPS (Zhang et al. 2018, arXiv 1801.03924)
    without its learned weights; squared distances are averaged over places and frames, then over layers. Computed in the type
    of the network's weights (float32 unless it was converted), under autocast too.
    """
    with torch.autocast(predicted.device.type, enabled=False):
        found = network(_frames(predicted, network))
        with torch.no_grad():
            wanted = network(_frames(target, network))
        layers = [(_unit(a) - _unit(b)).square().sum(dim=1).mean() for a, b in zip(found, wanted, strict=True)]
        return torch.stack(layers).mean()


def features(name: str) -> Features:
    """Return the network `random`, or SqueezeNet from the file that `name` is; ValueError if it is neither."""
    if name == "random":
        return random_features()
    if not Path(name).is_file():
        raise ValueError(f"{name!r} is no network of features; allowed: random, or a file with SqueezeNet 1.1's features")
    return squeezenet_features(Path(name))


def random_features(seed: int = 0) -> Features:
    """Return four convolutions of 3x3 pixels with stride 2, each followed by a ReLU, with random orthogonal weights.

    No file, no licence. Much of what a perceptual loss gives comes from the structure of its network: with random weights,
    super-resolution came out on par with trained ones (Liu et al. 2021, arXiv 2103.10571), and textures and styles can be made
    (He et al. 2016, arXiv 1606.04801). As a measure of quality random features are well below trained ones (Zhang et al. 2018).

    Rows of a layer's weights, or its columns where there are more rows, are orthogonal with a gain of sqrt(2), which keeps
    variances through a ReLU; biases are zero.
    """
    generator = torch.Generator().manual_seed(seed)
    layers: list[nn.Module] = []
    for inputs, outputs in zip((3, *WIDTHS), WIDTHS, strict=False):
        layer = nn.utils.skip_init(nn.Conv2d, inputs, outputs, 3, stride=2, padding=1)
        nn.init.orthogonal_(layer.weight, gain=2**0.5, generator=generator)
        nn.init.zeros_(layer.bias)
        layers += [layer, nn.ReLU()]
    return Features(nn.Sequential(*layers), tuple(range(1, len(layers), 2)), scale=1.0, shift=(0.0, 0.0, 0.0), side=1)


def squeezenet_features(path: Path) -> Features:
    """Return SqueezeNet 1.1 (Iandola et al. 2016, arXiv 1602.07360) as trained in Caffe, without its classifier.

    `path` holds tensors under torchvision's names, `features.*` only, whose first layer reads RGB in 0..255 less ImageNet's
    means: the Caffe model (forresti/SqueezeNet, BSD) as converted in DeepCognition/keras-squeezenet (MIT). torchvision's own
    training reads another range; its file has a classifier and is refused. The seven layers are LPIPS's, whose learned
    weights do not fit this training. Nothing in the file is executed; ValueError if it holds anything else.
    """
    from torchvision.models import squeezenet1_1

    with torch.device("meta"):
        network = squeezenet1_1(weights=None)
    del network.classifier
    with readable(path, "SqueezeNet 1.1's features"):
        fill(network, load(path))
    layers = network.features
    for part in layers.modules():
        if isinstance(part, nn.ReLU):
            part.inplace = False  # as it is, it would overwrite features that are kept
    red, green, blue = (127.5 - mean for mean in SQUEEZENET_MEAN)
    return Features(layers, SQUEEZENET_AFTER, scale=127.5, shift=(red, green, blue), side=SQUEEZENET_SIDE)


def _frames(clip: Float[Tensor, "b 3 t h w"], network: Features) -> Float[Tensor, "n 3 h w"]:
    return rearrange(clip, "b c t h w -> (b t) c h w").to(network.shift.dtype)


def _unit(vectors: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    return vectors * (vectors.square().sum(dim=1, keepdim=True) + FLOOR * FLOOR).rsqrt()
