"""The fixed prompt as Wan2.1's text encoder says it: computed once, from files on this machine."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from torch import Tensor

from oasis import files
from oasis.configs import DiTConfig
from oasis.convert.sources import hashes

_TOKENIZER = ("tokenizer.json", "spiece.model", "tokenizer_config.json")


class Prompt(NamedTuple):
    """A prompt's embedding and what it was made of."""

    text: str
    embedding: Float[Tensor, "1 l e"]
    files: dict[str, str]


@torch.no_grad()
def embed(folder: Path, text: str, config: DiTConfig, device: str = "cpu") -> Prompt:
    """Return the last hidden states of UMT5's encoder at the prompt's tokens, its end token included, in float32.

    `folder` has text_encoder/ and tokenizer/, as diffusers' pipelines do, or holds both itself. Wan2.1 pads tokens to
    `text_len`, hides the padding from the encoder and puts zeros in its place afterwards; so the padding changes no token
    and needs no computing, and `DiT.condition` adds the zeros. White space counts once, as in Wan2.1. ValueError and
    FileNotFoundError say what is missing or does not fit; nothing is downloaded.
    """
    try:
        from transformers import AutoTokenizer, UMT5EncoderModel
    except ImportError as error:
        raise ValueError("--text-encoder needs the package transformers; pip install transformers sentencepiece") from error
    place, words = (folder / "text_encoder", folder / "tokenizer") if (folder / "text_encoder").is_dir() else (folder, folder)
    _check(place)
    text = " ".join(text.split())
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(words, local_files_only=True)
        encoder, loading = _quietly(UMT5EncoderModel, place)
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise ValueError(f"{folder}: no whole UMT5 with its tokenizer ({str(error).splitlines()[0]})") from error
    for problem in ("missing", "unexpected"):
        if loading[f"{problem}_keys"]:
            raise ValueError(f"{place}: weights do not fit: {problem} tensor {min(loading[f'{problem}_keys'])!r}")
    ids: Tensor = tokenizer(text, return_tensors="pt").input_ids
    if ids.shape[1] > config.text_len:
        raise ValueError(f"--prompt has {ids.shape[1]} tokens; allowed: at most {config.text_len}")
    if int(ids.max()) >= encoder.config.vocab_size or encoder.config.d_model != config.text_dim:
        raise ValueError(
            f"{place}: {encoder.config.vocab_size} tokens of width {encoder.config.d_model} do not fit: the tokenizer knows a "
            f"token {int(ids.max())}, the network reads a width of {config.text_dim}"
        )
    embedding = encoder.eval().to(device)(input_ids=ids.to(device)).last_hidden_state.float().cpu()
    if not bool(torch.isfinite(embedding).all()):
        raise ValueError(f"{place}: the prompt's embedding holds NaN or infinity")
    tokens = {name: files.sha256(words / name) for name in _TOKENIZER if (words / name).is_file()}
    return Prompt(text, embedding, hashes(place) | tokens)


def _check(place: Path) -> None:
    path = place / "config.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such file; --text-encoder is a folder with UMT5, or with text_encoder/ and tokenizer/"
        )
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not JSON ({error})") from error
    found = data.get("model_type") if isinstance(data, dict) else None
    if found != "umt5":
        raise ValueError(f"{path}: field 'model_type' is {found!r}; allowed: 'umt5'")


def _quietly(kind: Any, place: Path) -> tuple[Any, dict[str, Any]]:
    """Load an encoder in the dtype of its file; what does not fit is returned, not printed."""
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        return kind.from_pretrained(place, local_files_only=True, use_safetensors=True, dtype="auto", output_loading_info=True)
    finally:
        logging.set_verbosity(verbosity)
