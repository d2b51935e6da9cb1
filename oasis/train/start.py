"""Where a run starts: from closed forms (tiny), a pretrained backbone, random weights, or a trained model, dense or routed."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from oasis.model import build, load_model, tensors
from oasis.model.checkpoint import dit_state, load_decoder
from oasis.model.dit import DiT
from oasis.model.naming import Foreign, detect
from oasis.model.oasis import Oasis
from oasis.model.unshuffle import unshuffle
from oasis.model.wan_decoder import WanDecoder
from oasis.routing import RoutingTable
from oasis.train.corpus import Batch, Corpus, CropSize, Source
from oasis.train.embedding import Sample, fit_embedding, start_randomly
from oasis.train.initialise import initialise
from oasis.train.presets import Preset

FIT_BATCHES = 60
_FITTED = 1_000_000  # added to the seed: what closed forms see is not what the first stage sees


def fresh(preset: Preset, source: Source, sizes: tuple[CropSize, ...], seed: int) -> Oasis:
    """Return a network with random weights; one with a small VAE starts from closed forms, fitted to the largest crops."""
    torch.manual_seed(seed)
    if preset.config.vae.kind != "small":
        return build(preset.config)
    model = Oasis(preset.config)
    initialise(model, (batch[:2] for batch in _batches(source, sizes, seed)))
    return model


def trained(model: str, routing: Path | None, preset: Preset) -> Oasis:
    """Return "tiny" or the model of a folder, ready to be trained on, routed if a table is given; it must be the preset's."""
    found = load_model(model, RoutingTable.load(routing) if routing else None).model
    if found.config.name != preset.config.name:
        raise ValueError(f"--start {model} is {found.config.name}, but the preset trains {preset.config.name}")
    found.unfold_constants()
    return found


def load_vae(model: Oasis, path: Path, names: Foreign | None = None) -> None:
    """Fill the Wan decoder from the file of a VAE; without `names` the keys tell whose they are."""
    if not isinstance(model.vae, WanDecoder):
        raise ValueError(f"--vae is for networks with the Wan decoder; {model.config.name} has a decoder of its own")
    state = tensors.read(path)
    try:
        load_decoder(model.vae, state, names or detect(state))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def load_backbone(
    model: Oasis,
    path: Path,
    source: Source,
    sizes: tuple[CropSize, ...],
    seed: int,
    *,
    embedding: Literal["least-squares", "random"],
    names: Foreign | None = None,
) -> Tensor | None:
    """Fill the transformer from Wan2.1's, all but the patch embedding, which there reads latents and here unshuffled pixels.

    `least-squares`: it starts as the pretrained one behind the best linear map from pixels to latents, which `source` must then
    hold, and the fit's R^2 per latent channel is returned. `random`: as Wan2.1's starts, for comparison. Without `names` the
    keys of the file tell whose they are.
    """
    state, config = tensors.read(path), model.config.dit
    with torch.device("meta"):
        shell = DiT(replace(config, in_channels=config.out_channels))
    try:
        ours = dit_state(shell, state, names or detect(state))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    pretrained = shell.patch_embedding.to_empty(device="cpu")
    pretrained.load_state_dict({part: ours.pop(f"patch_embedding.{part}") for part in ("weight", "bias")})
    model.dit.load_state_dict(ours, strict=False)  # all but the patch embedding, which has another shape here
    if embedding == "random":
        start_randomly(model.dit.patch_embedding, seed)
        return None
    samples = (_sample(batch, model.config.scale) for batch in _batches(source, sizes, seed))
    return fit_embedding(model.dit.patch_embedding, pretrained, samples)


def _sample(batch: Batch, scale: int) -> Sample:
    if batch.latents is None:
        raise ValueError(
            "--backbone fits the patch embedding to latents, so it needs shards that hold them (oasis shards --encoder), "
            "or --embedding random"
        )
    return unshuffle(batch.lq, scale), batch.latents


def _batches(source: Source, sizes: tuple[CropSize, ...], seed: int) -> Iterator[Batch]:
    largest = max(sizes, key=lambda size: size.frames * size.height * size.width)
    corpus = Corpus(source, (replace(largest, batch=min(largest.batch, 8)),), seed=seed + _FITTED)
    return (corpus.batch(number) for number in range(FIT_BATCHES))
