"""A diffusers pipeline's folder becomes a model whose heads can be measured; everything from this machine, read strictly."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from oasis.adapters import inputs
from oasis.adapters.families import family_of
from oasis.adapters.family import Family
from oasis.adapters.watching import watching
from oasis.grid import Grid
from oasis.model import tensors
from oasis.model.dit import Probe
from oasis.probe import About

PREFIX = "diffusers:"
"""What a model's name begins with where it is a folder of diffusers."""
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
DEFAULT_TIMESTEP = 500.0


@dataclass(frozen=True, kw_only=True)
class Asked:
    """How to measure a diffusers model: `timestep` of its schedule, at which latents are noised unless `clean`.

    One-step upscalers read clean latents at the one timestep that they were trained at. `prompt_embeds`: a file, see
    `inputs.prompt`. `dtype`: of the transformer; the VAE works in float32.
    """

    timestep: float = DEFAULT_TIMESTEP
    clean: bool = False
    prompt_embeds: Path | None = None
    dtype: str = "float32"


@dataclass(frozen=True, kw_only=True)
class Diffusers:
    """A pipeline's transformer and VAE as a subject of the probe; `scheduler` is its configuration."""

    name: str
    weights_sha256: str
    transformer: Any
    vae: Any
    family: Family
    scheduler: Mapping[str, Any]
    prompt: inputs.Prompt
    asked: Asked

    @property
    def about(self) -> About:
        """What rows and records say of it; weights of a file count as trained."""
        layers = tuple(self.family.layers(self.transformer))
        heads = self.family.heads(self.transformer.config)
        return About(
            name=self.name,
            weights_sha256=self.weights_sha256,
            trained=True,
            timestep=self.asked.timestep,
            backend="sdpa",
            head_order=(tuple(range(heads)),) * len(layers),
            text=self.family.text(self.transformer.config),
            record={
                "pixels": "the clean clip where there is one",
                "transformer": type(self.transformer).__name__,
                "layer names": list(layers),
                "latents": "clean" if self.asked.clean else f"noised at the timestep, seed {inputs.SEED}",
                "timestep": self.asked.timestep,
                "prompt": self.prompt.source,
                "dtype": self.asked.dtype,
            },
        )

    def grid(self, frames: UInt8[Tensor, "t 3 h w"]) -> Grid:
        """Return the token grid of a clip."""
        return inputs.token_grid(frames, self._strides, self._patch)

    def frame_of(self, t: int, length: int) -> int:
        """Return which of `length` frames a token frame shows first; latent frames may have been repeated in front."""
        temporal, spanned = self._strides[0], self._patch[0]
        latent = -(-(length - 1) // temporal) + 1
        return temporal * max(spanned * t - -latent % spanned, 0)

    def run(self, frames: UInt8[Tensor, "t 3 h w"], probe: Probe) -> None:
        """Encode a clip, noise it, and run the transformer once; ValueError unless every layer ran once."""
        with watching(self.transformer, self.family, probe):
            self.transformer(**self.arguments(frames), return_dict=False)

    def arguments(self, frames: UInt8[Tensor, "t 3 h w"]) -> dict[str, Any]:
        """Return what the transformer reads for a clip."""
        clip = inputs.as_pixels(frames, self._strides, self._patch).to(self.prompt.embedding.device)
        latents = self.family.encode(self.vae, clip)
        if not self.asked.clean:
            latents = self._noised(latents)
        return self.family.arguments(self.transformer, self.vae, clip, latents, self.prompt.embedding, self.asked.timestep)

    def _noised(self, latents: Float[Tensor, "1 c f y x"]) -> Float[Tensor, "1 c f y x"]:
        return self.family.noised(latents, inputs.noise_like(latents), self.asked.timestep, self.scheduler)

    @property
    def _strides(self) -> tuple[int, int]:
        return self.family.strides(self.vae.config)

    @property
    def _patch(self) -> tuple[int, int, int]:
        return self.family.patch(self.transformer.config)


def load(source: str, asked: Asked, device: str = "cpu") -> Diffusers:
    """Load `diffusers:PATH`, a pipeline's folder with transformer/, vae/, scheduler/ and perhaps text_encoder/ and tokenizer/.

    Of a pipeline with two transformers it is the first. ValueError and FileNotFoundError name the file that is missing or does
    not fit; nothing is downloaded.
    """
    folder = Path(source.removeprefix(PREFIX))
    if asked.dtype not in DTYPES:
        raise ValueError(f"--dtype is {asked.dtype!r}; allowed: {', '.join(DTYPES)}")
    if (folder / "config.json").is_file() and not (folder / "transformer").is_dir():
        raise ValueError(
            f"{folder}: a transformer alone cannot read clips; name a pipeline's folder with transformer/ and vae/"
        )
    config = _config(folder / "transformer" / "config.json")
    family = family_of(str(config.get("_class_name")), str(folder / "transformer"))
    made = _config(folder / "vae" / "config.json").get("_class_name")
    if made != family.vae:
        raise ValueError(f"{folder / 'vae'}: the VAE is {made}; allowed for this transformer: {family.vae}")
    scheduler = {} if asked.clean else _config(folder / "scheduler" / "scheduler_config.json")
    vae = _load(family.vae, folder / "vae", torch.float32)
    transformer = _load(config["_class_name"], folder / "transformer", DTYPES[asked.dtype])
    try:
        family.check(transformer.config, vae.config)
        family.check_timestep(asked.timestep, scheduler.get("num_train_timesteps", 1000))
        if not asked.clean:
            family.noised(torch.zeros(1, 1, 1, 1, 1), torch.zeros(1, 1, 1, 1, 1), asked.timestep, scheduler)
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from error
    embedding, said = inputs.prompt(folder, family, transformer.config, asked.prompt_embeds)
    return Diffusers(
        name=folder.resolve().name,
        weights_sha256=tensors.sha256(folder / "transformer"),
        transformer=transformer.to(device),
        vae=vae.to(device),
        family=family,
        scheduler=scheduler,
        prompt=inputs.Prompt(embedding.to(device, DTYPES[asked.dtype]), said),
        asked=asked,
    )


def _config(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such file; {PREFIX}PATH is a pipeline's folder with transformer/, vae/ and scheduler/"
        )
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not a JSON file ({error})") from error
    if not isinstance(found, dict) or not isinstance(found.get("_class_name"), str):
        raise ValueError(f"{path}: must be a JSON object with the field '_class_name'")
    return found


def _load(name: str, folder: Path, dtype: torch.dtype) -> Any:
    """Load a model of diffusers; what it would only warn about (a tensor that is missing or left over) is refused."""
    import diffusers

    tensors.files_of(folder)  # says what is missing in a sentence
    try:
        with _quiet():
            model, said = getattr(diffusers, name).from_pretrained(
                folder, torch_dtype=dtype, local_files_only=True, use_safetensors=True, output_loading_info=True
            )
    except (OSError, ValueError, RuntimeError, TypeError, KeyError) as error:
        raise ValueError(f"{folder}: not a whole {name} ({str(error).strip().splitlines()[0]})") from error
    computed = {name for name, _ in model.named_buffers()}  # tables that a file may hold, but that the model makes itself
    for problem in ("missing", "unexpected", "mismatched"):
        if found := set(map(str, said[f"{problem}_keys"])) - computed:
            raise ValueError(f"{folder}: weights do not fit: {problem} tensor {min(found)}")
    return model.eval().requires_grad_(False)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep diffusers' warnings and progress bars off the screen."""
    from diffusers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
