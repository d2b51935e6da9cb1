"""From a clip's pixels to what a diffusers transformer reads: pixels that the VAE takes, noise, and a prompt's embedding."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from oasis import files, video
from oasis.adapters.family import Family
from oasis.grid import Grid
from oasis.model import tensors

SEED = 0
"""Of the noise, which is the same for every clip of a size."""


def as_pixels(
    frames: UInt8[Tensor, "t 3 h w"], strides: tuple[int, int], patch: tuple[int, int, int]
) -> Float[Tensor, "1 3 f y x"]:
    """Return a clip in [-1, 1], its last frame, row and column repeated until VAE and patch divide it (frames: 1 more)."""
    clip = video.to_network(frames).transpose(0, 1)[None]
    t, h, w = clip.shape[2:]
    temporal, spatial = strides
    more = (-(t - 1) % temporal, -h % (spatial * patch[1]), -w % (spatial * patch[2]))
    return F.pad(clip, (0, more[2], 0, more[1], 0, more[0]), mode="replicate")


def token_grid(frames: UInt8[Tensor, "t 3 h w"], strides: tuple[int, int], patch: tuple[int, int, int]) -> Grid:
    """Return the token grid of a clip; latent frames that fill no patch are filled up."""
    t, _, h, w = frames.shape
    temporal, spatial = strides
    latent = -(-(t - 1) // temporal) + 1
    return Grid(-(-latent // patch[0]), -(-h // (spatial * patch[1])), -(-w // (spatial * patch[2])))


def noise_like(latents: Tensor) -> Tensor:
    """Return seeded noise of the shape of `latents`, drawn on the CPU so that devices agree."""
    drawn = torch.randn(latents.shape, generator=torch.Generator().manual_seed(SEED), dtype=torch.float32)
    return drawn.to(latents)


class Prompt(NamedTuple):
    """A prompt's embedding, padded as the model reads it, and where it came from."""

    embedding: Float[Tensor, "1 l e"]
    source: str


def prompt(folder: Path, family: Family, config: Any, file: Path | None) -> Prompt:
    """Return the prompt in `file`, else the empty prompt by the folder's text encoder, else zeros.

    `file`: a .safetensors with one tensor "l e" or "1 l e". ValueError names what does not fit.
    """
    tokens, width = family.prompt_shape(config)
    if file is not None:
        embedding, source = _read(file), f"{file} (sha256 {files.sha256(file)})"
    elif (folder / "text_encoder").is_dir():
        embedding, source = _encode(folder, family, tokens), "the empty prompt, by the folder's text encoder"
    else:
        return Prompt(torch.zeros(1, tokens, width), "no prompt: zeros")
    if (
        embedding.shape[2] != width
        or embedding.shape[1] > tokens
        or not (family.padding_is_zero or embedding.shape[1] == tokens)
    ):
        least = "at most " if family.padding_is_zero else ""
        raise ValueError(f"{file or folder}: the prompt is {tuple(embedding.shape[1:])}; allowed: {least}{tokens} x {width}")
    return Prompt(F.pad(embedding, (0, 0, 0, tokens - embedding.shape[1])), source)


def _read(file: Path) -> Float[Tensor, "1 l e"]:
    if file.suffix != ".safetensors":
        raise ValueError(f"{file}: --prompt-embeds reads a .safetensors file with one tensor")
    found = list(tensors.read(file).values())
    if len(found) != 1 or found[0].ndim not in (2, 3) or (found[0].ndim == 3 and len(found[0]) != 1):
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in found) or "nothing"
        raise ValueError(f"{file}: holds {shapes}; allowed: one tensor (tokens, width) or (1, tokens, width)")
    embedding = found[0].float()
    if not bool(torch.isfinite(embedding).all()):
        raise ValueError(f"{file}: the prompt holds NaN or infinity")
    return embedding if embedding.ndim == 3 else embedding[None]


@torch.no_grad()
def _encode(folder: Path, family: Family, length: int) -> Float[Tensor, "1 l e"]:
    """Return what the text encoder says of an empty prompt, in the dtype of its files, on the CPU."""
    try:
        import transformers
    except ImportError as error:
        raise ValueError(f"{folder / 'text_encoder'} needs the package transformers; pip install transformers") from error
    try:
        tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
        encoder: Any = getattr(transformers, family.encoder).from_pretrained(
            folder / "text_encoder", local_files_only=True, use_safetensors=True, dtype="auto"
        )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise ValueError(f"{folder}: no whole text encoder with its tokenizer ({str(error).splitlines()[0]})") from error
    padded = tokenizer("", padding="max_length", max_length=length, truncation=True, return_tensors="pt")
    if not family.padding_is_zero:
        return encoder.eval()(input_ids=padded.input_ids).last_hidden_state.float()
    states = encoder.eval()(input_ids=padded.input_ids, attention_mask=padded.attention_mask).last_hidden_state
    return states.float() * padded.attention_mask[..., None]
