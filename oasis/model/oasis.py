"""The whole network: LQ clip to latents in one step, latents to HR clip."""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from oasis.configs import OasisConfig
from oasis.model.dit import Condition, DiT, Probe
from oasis.model.feather import spans
from oasis.model.unshuffle import crop_clip, pad_clip, unshuffle
from oasis.model.vae import SmallVAE, build_decoder
from oasis.model.wan_decoder import WanDecoder
from oasis.sections import section


class Tiles(NamedTuple):
    """Rows and columns of latents that a decoder takes at a time, and how many of them neighbours share."""

    size: tuple[int, int]
    overlap: int


class Oasis(nn.Module):
    """One-step video super-resolution: unshuffle, transformer, decoder (arXiv 2509.23980).

    Until `fold_constants`, the parts that only timestep and prompt feed are evaluated in every forward.
    """

    def __init__(self, config: OasisConfig) -> None:
        super().__init__()
        self.config = config
        self.prompt = nn.Parameter(torch.zeros(1, config.prompt_tokens, config.dit.text_dim))
        self.dit = DiT(config.dit)
        self.skip = LinearSkip(config) if config.skip else None
        self.vae = build_decoder(config)
        self._folded: Condition | None = None
        self.graphed: Callable[[Tensor], Tensor] | None = None
        """What `forward` calls in place of `latents`: that step in CUDA graphs (`oasis.model.graphed`)."""
        self.decoder_tiles: Tiles | None = None

    def forward(self, lq: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b 3 t y x"]:
        """Upscale clips in [-1, 1] of any length and size; `scale` times the size comes back, clamped to [-1, 1]."""
        padded = pad_clip(lq, self.config.scale, self.config.dit.patch)
        step = self.latents if self.graphed is None else self.graphed
        clip = self.decode(step(padded.clip), padded.clip)
        return crop_clip(clip, padded.size, self.config.scale).clamp(-1, 1)

    def decode(self, latents: Float[Tensor, "b c t4 h8 w8"], lq: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b 3 t y x"]:
        """Return the clip of latents, not clamped.

        The small VAE's latents hold little of a group of frames in strong motion or across a cut. What lies outside their
        span is taken from the bicubically upscaled `lq`, which for the latents' own part would be the worse guess.
        """
        with section("decoder"):
            if isinstance(self.vae, WanDecoder):
                tile, overlap = self.decoder_tiles or (None, 0)
                return self.vae.decode(latents, tile=tile, overlap=overlap)
            clip = self.vae.decode(latents, lq)
            if not isinstance(self.vae, SmallVAE):
                return clip
        b, scale = lq.shape[0], self.config.scale
        with section("bicubic"):
            large = F.interpolate(rearrange(lq, "b c t h w -> (b t) c h w"), scale_factor=scale, mode="bicubic")
            upscaled = rearrange(large, "(b t) c y x -> b c t y x", b=b)
            return clip + upscaled - self.vae.decode_linearly(self.vae.encode(upscaled))

    def decode_in_tiles(self, size: tuple[int, int], overlap: int) -> None:
        """Let the Wan decoder decode tiles of so many rows and columns of latents that share `overlap`; see `WanDecoder`.

        ValueError for other decoders, and where tiles share half of their size or more.
        """
        if not isinstance(self.vae, WanDecoder):
            raise ValueError(
                f"the decoder of {self.config.name!r} is of kind {self.config.vae.kind!r}; allowed in tiles: that of kind 'wan'"
            )
        for side in size:
            spans(side, side, overlap)
        self.decoder_tiles = Tiles(size, overlap)

    def latents(self, lq: Float[Tensor, "b 3 t h w"], *, probe: Probe | None = None) -> Float[Tensor, "b c t4 h8 w8"]:
        """Return the normalised latents of padded LQ clips (`pad_clip`) in [-1, 1]."""
        with section("unshuffle"):
            folded = unshuffle(lq, self.config.scale)
        with section("dit"):
            predicted = self.dit(folded, self.condition(), probe=probe)
        return self.around(folded, predicted)

    def around(
        self, folded: Float[Tensor, "b i t4 h8 w8"], predicted: Float[Tensor, "b c t4 h8 w8"]
    ) -> Float[Tensor, "b c t4 h8 w8"]:
        """Add to what the transformer predicts of an unshuffled clip what runs around it."""
        if self.skip is None:
            return predicted
        with section("skip"):
            return self.skip(folded) + predicted * self.skip.residual_std[:, None, None, None]

    def condition(self) -> Condition:
        """Return what timestep and prompt decide, from the folded constants where they exist."""
        if self._folded is not None:
            return self._folded
        timestep = torch.full((1,), self.config.timestep, dtype=torch.float64, device=self.prompt.device)
        return self.dit.condition(timestep, self.prompt)

    @torch.no_grad()
    def fold_constants(self) -> None:
        """Evaluate modulation and cross-attention keys and values now, once; the weights must not change afterwards."""
        self._folded = None
        self._folded = self.condition()

    def unfold_constants(self) -> None:
        """Forget the constants, so that modulation and cross-attention follow the weights again."""
        self._folded = None

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Oasis":
        """Move or convert the folded constants together with the weights; ValueError once graphs hold their places."""
        if self.graphed is not None:
            raise ValueError("a network whose steps are CUDA graphs can be neither moved nor converted; do that before")
        super()._apply(fn, recurse)
        if self._folded is not None:
            self._folded = Condition._make(None if part is None else fn(part) for part in self._folded)
        return self


class LinearSkip(nn.Module):
    """A linear map from 3x3 neighbourhoods of the unshuffled LQ clip to the latents, fitted by least squares.

    Around it the transformer only learns what a linear filter cannot do; its output is scaled by `residual_std`, the
    spread of what the filter leaves, per latent channel.
    """

    residual_std: Float[Tensor, "c"]

    def __init__(self, config: OasisConfig) -> None:
        super().__init__()
        self.filter = nn.Conv2d(config.dit.in_channels, config.dit.out_channels, 3)
        self.register_buffer("residual_std", torch.ones(config.dit.out_channels))

    def forward(self, folded: Float[Tensor, "b i t h w"]) -> Float[Tensor, "b c t h w"]:
        """Filter every latent frame; borders are repeated."""
        frames = torch.stack([self.filter(F.pad(frame, (1, 1, 1, 1), mode="replicate")) for frame in folded.unbind(2)], dim=2)
        return frames


def parameter_counts(model: Oasis) -> dict[str, int]:
    """Return the parameters (and constants stored with them) of each part of the transformer, then of what is around it.

    `transformer` is the sum of the parts before it; `total` counts everything once.
    """
    dit, blocks = model.dit, model.dit.blocks
    parts: dict[str, list[nn.Module | Tensor]] = {
        "patch embedding": [dit.patch_embedding],
        "text embedding": [dit.text_embedding],
        "time embedding": [dit.time_embedding],
        "self-attention": [block.self_attention for block in blocks],
        "cross-attention": [part for block in blocks for part in (block.cross_norm, block.cross_attention)],
        "mlp": [block.mlp for block in blocks],
        "modulation": [block.modulation for block in blocks],
        "head": [dit.head],
    }
    counts = {name: sum(map(_size, part)) for name, part in parts.items()}
    counts["transformer"] = sum(counts.values())
    around = {
        "prompt": _size(model.prompt),
        "skip": 0 if model.skip is None else _size(model.skip),
        "decoder": _size(model.vae),
    }
    return counts | around | {"total": counts["transformer"] + sum(around.values())}


def describe(model: Oasis) -> str:
    """Return the model's name and `parameter_counts` as a small table."""
    lines = [f"{name:<16}{count:>14,}" for name, count in parameter_counts(model).items()]
    return "\n".join([f"{model.config.name}: parameters", *lines])


def _size(part: nn.Module | Tensor) -> int:
    return part.numel() if isinstance(part, Tensor) else sum(tensor.numel() for tensor in part.state_dict().values())
