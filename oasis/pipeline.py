"""The network with the calls of a diffusers pipeline: from_pretrained, to, a call that returns frames, save_pretrained."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from einops import rearrange
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from oasis.model import load_model, packaged_routing
from oasis.model.checkpoint import save
from oasis.model.oasis import Oasis
from oasis.routing import RoutingTable
from oasis.upscale import Tiling, upscale

Video = Sequence[Image.Image] | np.ndarray | Tensor


@dataclass(frozen=True)
class OasisPipelineOutput:
    """`frames` of a batch of one video, so that `frames[0]` is the video, as diffusers' pipelines return it.

    By output type: lists of PIL images, an array "b t y x c" or a tensor "b t c y x", both float32 in [0, 1].
    """

    frames: list[list[Image.Image]] | np.ndarray | Tensor


class OasisPipeline:
    """Upscale videos; the same pixels as `oasis upscale` gives.

    It is no `DiffusionPipeline`: that class loads and writes one folder per network below a model_index.json and asks a server
    for names that it does not know, while a model here is one folder, on this machine, and read strictly.
    """

    def __init__(self, model: Oasis, *, trained: bool, routing: RoutingTable | None = None) -> None:
        self.model, self.trained, self.routing = model, trained, routing

    @classmethod
    def from_pretrained(
        cls, source: str | Path, *, torch_dtype: torch.dtype = torch.float32, routing: RoutingTable | str | Path | None = None
    ) -> Self:
        """Return a pipeline with the model of a folder or of a name, as `load_model` knows them, on the CPU.

        `routing` is a table or its file; without one the model is dense, or "tiny-routed" on its own. Warns if the weights
        were not trained. ValueError and FileNotFoundError as `load_model`; nothing is downloaded.
        """
        if source == "tiny-routed" and routing is None:
            routing = packaged_routing("tiny-routed")
        table = RoutingTable.load(Path(routing)) if isinstance(routing, str | Path) else routing
        loaded = load_model(source, table)
        if not loaded.trained:
            warnings.warn(f"{source}: these weights were not trained for super-resolution", stacklevel=2)
        return cls(loaded.model.to(torch_dtype), trained=loaded.trained, routing=table)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.model.prompt.device

    @property
    def dtype(self) -> torch.dtype:
        """What the network computes in."""
        return self.model.prompt.dtype

    def to(self, *place: Any, **options: Any) -> Self:
        """Move or convert the network, with the arguments of `torch.nn.Module.to`."""
        self.model.to(*place, **options)
        return self

    def __call__(
        self, video: Video, *, output_type: Literal["pil", "np", "pt"] = "pil", tiling: Tiling | None = None
    ) -> OasisPipelineOutput:
        """Upscale one video: as many frames come out as went in, each exactly `scale` times as large.

        `video` is a list of RGB images, an array "t h w c" or a tensor "t c h w": uint8, or floats in [0, 1], which are rounded
        to 8 bits first. Tiles are those of `oasis upscale` unless given. ValueError if the video is none of these or empty.
        """
        if output_type not in ("pil", "np", "pt"):
            raise ValueError(f"output_type is {output_type!r}; allowed: pil, np, pt")
        frames = [frame.cpu() for frame in upscale(self.model, _frames(video), tiling or Tiling(), find_cuts=True)]
        if output_type == "pil":
            return OasisPipelineOutput([[Image.fromarray(rearrange(frame, "c y x -> y x c").numpy()) for frame in frames]])
        clip = torch.stack(frames)[None].float() / 255
        return OasisPipelineOutput(clip if output_type == "pt" else rearrange(clip, "b t c y x -> b t y x c").numpy())

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the model's folder, in the dtype that it has, with routing.json if it is routed."""
        digest = save(self.model, Path(folder), trained=self.trained, dtype=self.dtype)
        if self.routing is not None:
            replace(self.routing, weights_sha256=digest).save(Path(folder) / "routing.json")


def _frames(video: Video) -> Iterator[UInt8[Tensor, "3 h w"]]:
    """Return the frames of a video in any of its forms; ValueError says what does not fit."""
    if isinstance(video, Tensor):
        clip = video
    elif isinstance(video, np.ndarray):
        clip = rearrange(_tensor(video), "t h w c -> t c h w") if video.ndim == 4 else torch.from_numpy(video)
    else:
        clip = rearrange(_tensor(_pixels(video)), "t h w c -> t c h w")
    if clip.ndim != 4 or clip.shape[1] != 3 or 0 in clip.shape:
        raise ValueError(
            f"video is {type(video).__name__} of shape {tuple(getattr(video, 'shape', ()))}; allowed: a list of RGB images, "
            "an array 't h w c' or a tensor 't c h w' with 3 colours and at least one frame"
        )
    if clip.is_floating_point():
        if not bool(((clip >= 0) & (clip <= 1)).all()):
            raise ValueError("video has floats that are not in [0, 1]; allowed: uint8, or floats from 0 to 1")
        clip = (clip.float() * 255).round().to(torch.uint8)
    if clip.dtype is not torch.uint8:
        raise ValueError(f"video is of dtype {video.dtype}; allowed: uint8, or floats from 0 to 1")  # type: ignore[union-attr]
    return iter(clip)


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))  # torch has no negative strides


def _pixels(images: Sequence[Image.Image]) -> np.ndarray:
    images = list(images)
    if not images or not all(isinstance(image, Image.Image) for image in images):
        raise ValueError(f"video is {type(images).__name__} of {len(images)}; allowed: a list of at least one PIL image")
    for number, image in enumerate(images):
        if image.mode != "RGB" or image.size != images[0].size:
            raise ValueError(
                f"video has frame {number} of mode {image.mode} and size {image.size}; allowed: RGB, all of {images[0].size}"
            )
    return np.stack([np.asarray(image) for image in images])
