"""The two branches of DOVER with their heads, under the names of the authors' checkpoint."""

import pickle
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from oasis.metrics.dover.convnext import ConvNeXt3D
from oasis.metrics.dover.swin import SwinTransformer3D

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


class Head(nn.Module):
    """Two linear layers at every place of the feature map, with GELU between them."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc_hid = nn.Conv3d(dim, hidden, 1)
        self.fc_last = nn.Conv3d(hidden, 1, 1)

    def forward(self, x: Float[Tensor, "c t h w"]) -> Float[Tensor, "1 t h w"]:
        """Return the score of every place."""
        return self.fc_last(F.gelu(self.fc_hid(x)))


class Dover(nn.Module):
    """The technical branch looks at fragments, the aesthetic one at whole frames; a score is the mean of a branch's map."""

    def __init__(self, technical: SwinTransformer3D, aesthetic: ConvNeXt3D, *, hidden: int) -> None:
        super().__init__()
        self.technical_backbone = technical
        self.aesthetic_backbone = aesthetic
        self.technical_head = Head(technical.norm.normalized_shape[0], hidden)
        self.aesthetic_head = Head(aesthetic.norm.normalized_shape[0], hidden)

    def technical(self, clip: UInt8[Tensor, "3 t h w"]) -> Float[Tensor, "1 t2 h32 w32"]:
        """Return the technical branch's score map of an RGB clip."""
        return self.technical_head(self.technical_backbone(_normalised(clip)))

    def aesthetic(self, clip: UInt8[Tensor, "3 t h w"]) -> Float[Tensor, "1 t2 h32 w32"]:
        """Return the aesthetic branch's score map of an RGB clip."""
        return self.aesthetic_head(self.aesthetic_backbone(_normalised(clip)))


def published() -> Dover:
    """Return the network of dover.yml (Swin-T, ConvNeXt-T) without weights, on the meta device."""
    with torch.device("meta"):
        technical = SwinTransformer3D(96, depths=(2, 2, 6, 2), heads=(3, 6, 12, 24), window=(8, 7, 7))
        aesthetic = ConvNeXt3D(depths=(3, 3, 9, 3), dims=(96, 192, 384, 768))
        return Dover(technical, aesthetic, hidden=64).eval()


def load(path: Path) -> Dover:
    """Return the network with the authors' weights (DOVER.pth: a plain dict of tensors); ValueError if it is anything else."""
    network = published()
    try:
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True), assign=True)
    except (RuntimeError, TypeError, EOFError, pickle.UnpicklingError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{path} does not hold DOVER's weights under the authors' names: {reason}") from error
    return network


def _normalised(clip: UInt8[Tensor, "3 t h w"]) -> Float[Tensor, "3 t h w"]:
    mean, std = (torch.tensor(values, device=clip.device).view(3, 1, 1, 1) for values in (MEAN, STD))
    return (clip - mean) / std
