"""Wan2.1's published weights become a model folder that can be loaded, profiled and trained on; the first half of training."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from oasis import __version__, files
from oasis.configs import OasisConfig
from oasis.convert import card
from oasis.convert.prompt import Prompt, embed
from oasis.convert.sources import Part, find
from oasis.model import route
from oasis.model.checkpoint import CARD, save
from oasis.model.naming import Foreign
from oasis.model.oasis import Oasis
from oasis.routing import RoutingTable
from oasis.train.clips import hashes, training_clips
from oasis.train.corpus import Clips, CropSize, Pair
from oasis.train.encoder import WanEncoder, frames_encoder, read_encoder
from oasis.train.presets import PRESETS
from oasis.train.start import FIT_BATCHES, load_backbone, load_vae

CROP = CropSize(batch=1, frames=9, height=128, width=128)
"""What the patch embedding is fitted to, `FIT_BATCHES` times: 768 rows for 48 unknowns each."""
RECORD = "conversion.json"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is converted: `source` and `vae` as in `sources.find`; the prompt is embedded where there is a `text_encoder`.

    `embedding`: the patch embedding is fitted to built-in clips and those in `videos`, or drawn. `routing` is a table for these
    weights, or for none in particular (without their hash).
    """

    source: Path
    vae: Path | None = None
    names: Foreign | None = None
    text_encoder: Path | None = None
    prompt: str | None = None
    embedding: Literal["least-squares", "random"] = "least-squares"
    videos: Path | None = None
    routing: Path | None = None
    dtype: torch.dtype = torch.float32
    seed: int = 2026
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.prompt is not None and self.text_encoder is None:
            raise ValueError("--prompt needs --text-encoder, the folder of the network that embeds it")
        if self.videos is not None and self.embedding == "random":
            raise ValueError("--videos is for fitting the patch embedding; --embedding random looks at no clip")
        if self.seed < 0:
            raise ValueError(f"--seed is {self.seed}; allowed: a whole number of at least 0")


def convert(request: Request, out: Path, preset: str = "wan-1.3b") -> dict[str, Any]:
    """Write the folder of a model and return its record, conversion.json; equal files and seeds give equal weights.

    Every tensor of the sources must fit in name and shape and be finite. ValueError, FileNotFoundError or OSError name what
    does not fit, and leave nothing at `out`, which must be free.
    """
    config, family = PRESETS[preset].config, PRESETS[preset].family
    if out.exists():
        raise ValueError(f"{out}: exists already; a converted model gets a folder of its own")
    table = None if request.routing is None else _table(request.routing, config)
    transformer, vae = find(request.source, request.vae, request.names, config)
    encoder = read_encoder(vae.path, config.vae, vae.names)
    prompt = None
    if request.text_encoder is not None:
        prompt = embed(request.text_encoder, request.prompt or "", config.dit, request.device)
        config = replace(config, prompt_tokens=prompt.embedding.shape[1])
    model = _unfilled(config)
    with torch.no_grad():
        model.prompt.copy_(torch.zeros_like(model.prompt) if prompt is None else prompt.embedding)
    load_vae(model, vae.path, vae.names)
    embedding = _load_transformer(model, transformer, encoder, request, family)
    with files.replacing_folder(out) as folder:
        digest = save(model, folder, trained=False, dtype=request.dtype)
        if table is not None:
            _fitting(table, digest).save(folder / "routing.json")
        record = {
            "made_with": f"oasis-vsr {__version__}",
            "weights_sha256": digest,
            "dtype": str(request.dtype).removeprefix("torch."),
            "transformer": transformer.record(),
            "vae": vae.record(),
            "embedding": embedding,
            "prompt": None if prompt is None else _said(prompt),
            "routing": table is not None,
        }
        files.write_text(folder / RECORD, json.dumps(record, indent=2, ensure_ascii=False) + "\n")
        files.write_text(folder / CARD, card.text(config, preset, record))
    return record


class _Encoded:
    """Crops of clips with the latents of each, for the fit of the patch embedding."""

    def __init__(self, clips: Clips, encoder: WanEncoder, device: str, progress: Any) -> None:
        self.clips, self.encode, self.progress = clips, frames_encoder(encoder, device), progress
        self.check = clips.check

    def pair(self, size: CropSize, inconsistent: bool, generator: np.random.Generator) -> Pair:
        pair = self.clips.pair(size, inconsistent, generator)
        self.progress.update()
        return pair._replace(latents=self.encode(pair.hr))


def _unfilled(config: OasisConfig) -> Oasis:
    """Return a network whose weights are all NaN: what nobody fills cannot be saved."""
    with torch.device("meta"):
        model = Oasis(config)
    model = model.to_empty(device="cpu").requires_grad_(False)
    for tensor in model.state_dict().values():
        nn.init.constant_(tensor, torch.nan)
    return model


def _load_transformer(model: Oasis, part: Part, encoder: WanEncoder, request: Request, family: str) -> dict[str, Any]:
    """Fill the transformer and return how its patch embedding starts."""
    fitted, crops = request.embedding == "least-squares", None
    clips = training_clips(request.videos, family) if fitted else Clips({}, family)
    if fitted:
        videos = {} if request.videos is None else hashes(request.videos)
        crops = {"count": FIT_BATCHES * CROP.batch, "size": CROP.name, "family": family, "videos": videos}
    with tqdm(desc="fitting", unit="crop", total=FIT_BATCHES * CROP.batch, delay=1, dynamic_ncols=True) as progress:
        explained = load_backbone(
            model,
            part.path,
            _Encoded(clips, encoder, request.device, progress),
            (CROP,),
            request.seed,
            embedding=request.embedding,
            names=part.names,
        )
    r_squared = None if explained is None else explained.tolist()
    return {"start": request.embedding, "seed": request.seed, "r_squared_by_latent": r_squared, "crops": crops}


def _table(path: Path, config: OasisConfig) -> RoutingTable:
    """Read a table, and refuse one that does not fit the network before anything is computed."""
    table = RoutingTable.load(path)
    with torch.device("meta"):
        route(Oasis(config), table, None)
    return table


def _fitting(table: RoutingTable, digest: str) -> RoutingTable:
    if table.weights_sha256 not in ("", digest):
        raise ValueError(f"--routing is for weights {table.weights_sha256}, but these are {digest}")
    return replace(table, weights_sha256=digest)


def _said(prompt: Prompt) -> dict[str, Any]:
    return {"text": prompt.text, "tokens": prompt.embedding.shape[1], "files": prompt.files}
