"""Wan2.1's causal video decoder, one latent frame at a time: a clip of any length in memory that does not grow with it."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, cast

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from oasis.configs import SPATIAL_STRIDE, WAN_WIDTHS, VAEConfig
from oasis.model.feather import Span, feather, spans
from oasis.model.wan_blocks import Level, LevelState, Middle, Norm, ResidualState, causal, convolved, nothing_seen, recent

# Mean and spread of Wan2.1's latents, per channel: Wan-Video/Wan2.1, wan/modules/vae.py, class WanVAE.
WAN_MEAN = (
    -0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508,
    0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921,
)  # fmt: skip
WAN_STD = (
    2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743,
    3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160,
)  # fmt: skip
DOUBLING = 2  # levels, from the first, that double the frames


class State(NamedTuple):
    """The last two frames that every causal convolution saw, "b 2 h w c"; of one size from the first step to the last."""

    entry: Float[Tensor, "b 2 h w c"]
    middle: tuple[ResidualState, ...]
    levels: tuple[LevelState, ...]
    exit: Float[Tensor, "b 2 y x c"]


class WanDecoder(nn.Module):
    """The decoder half of Wan2.1's VAE (arXiv 2503.20314); tensors are named as in diffusers' AutoencoderKLWan."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        if config.channels != len(WAN_MEAN):
            raise ValueError(f"the Wan decoder reads {len(WAN_MEAN)} channels, got channels={config.channels}")
        self.config = config
        self.post_quant_conv = nn.Conv3d(config.channels, config.channels, 1)
        self.decoder = Stack(config)

    def decode(
        self, latents: Float[Tensor, "b c t h w"], *, tile: tuple[int, int] | None = None, overlap: int = 4
    ) -> Float[Tensor, "b 3 f y x"]:
        """Return the clip of normalised latents, 4t - 3 frames, eight times as high and wide; not clamped.

        With `tile` (rows, columns of latents), tiles that share at least `overlap` are decoded after each other and mixed with
        weights that rise and fall linearly, so that memory beyond the clip itself is that of a tile. Tiles are not exact: the
        attention in the middle sees a whole frame. ValueError if tiles share half of their size or more.
        """
        if tile is None:
            return torch.cat(list(self.stream(latents.unbind(2))), dim=2)
        rows, columns = (spans(length, size, overlap) for length, size in zip(latents.shape[3:], tile, strict=True))
        return self._mixed(latents, rows, columns, overlap)

    def stream(self, latents: Iterable[Float[Tensor, "b c h w"]]) -> Iterator[Float[Tensor, "b 3 f y x"]]:
        """Yield the frames of each normalised latent frame as it comes: one of the first, four of each later one.

        Between two frames only the state is kept, so memory does not grow with the clip. Equal to decoding it whole.
        """
        state: State | None = None
        for latent in latents:
            mean, std = (latent.new_tensor(values)[:, None, None] for values in (WAN_MEAN, WAN_STD))
            scaled = latent * std + mean
            pixels, state = self.first(scaled) if state is None else self.step(scaled, state)
            yield pixels

    def first(self, latent: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b 3 1 y x"], State]:
        """Return the frame of a clip's first latent frame (mean and spread are the latents' own), and the state after it."""
        x = self._entered(latent)
        return self._run(x, self.decoder.start(x), first=True)

    def step(self, latent: Float[Tensor, "b c h w"], state: State) -> tuple[Float[Tensor, "b 3 4 y x"], State]:
        """Return the four frames of a later latent frame (mean and spread are the latents' own), and the state after it.

        Shapes are those of every other step and nothing depends on values, so that all steps are one graph: for
        torch.compile, for CUDA graphs, and for checkpointing.
        """
        return self._run(self._entered(latent), state, first=False)

    def _entered(self, latent: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 1 h w c"]:
        return convolved(self.post_quant_conv, rearrange(latent, "b c h w -> b 1 h w c"))

    def _run(self, x: Float[Tensor, "b 1 h w c"], state: State, *, first: bool) -> tuple[Float[Tensor, "b 3 f y x"], State]:
        pixels, state = self.decoder(x, state, first=first)
        return rearrange(pixels, "b f y x c -> b c f y x"), state

    def _mixed(
        self, latents: Float[Tensor, "b c t h w"], rows: list[Span], columns: list[Span], overlap: int
    ) -> Float[Tensor, "b 3 f y x"]:
        """Decode tile after tile over the whole clip: the clip in pixels is smaller than the states of all tiles.

        They are mixed in float32 at least, like the tiles of the whole network.
        """
        b, _, t, h, w = latents.shape
        height, width = SPATIAL_STRIDE * h, SPATIAL_STRIDE * w
        wide = torch.promote_types(latents.dtype, torch.float32)
        total = latents.new_zeros(b, 3, 4 * t - 3, height, width, dtype=wide)
        weight = latents.new_zeros(height, width, dtype=wide)
        for row in rows:
            for column in columns:
                ramps = (feather(span, side, overlap, SPATIAL_STRIDE) for span, side in ((row, h), (column, w)))
                down, across = (ramp.to(weight) for ramp in ramps)
                mask = down[:, None] * across
                inside = (..., row.scaled(SPATIAL_STRIDE), column.scaled(SPATIAL_STRIDE))
                begin = 0
                for pixels in self.stream(latents[..., row.scaled(1), column.scaled(1)].unbind(2)):
                    total[:, :, begin : begin + pixels.shape[2]][inside] += pixels * mask
                    begin += pixels.shape[2]
                weight[inside] += mask
        return (total / weight).to(latents)


class Stack(nn.Module):
    """The decoder behind the latents' own convolution."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        outputs = [factor * config.width for factor in WAN_WIDTHS]
        inputs = [outputs[0], *(width // 2 for width in outputs[:-1])]  # an upsampler halves the channels
        self.conv_in = causal(config.channels, outputs[0])
        self.mid_block = Middle(outputs[0])
        levels = [
            Level(before, after, config.blocks, doubles=level < DOUBLING, last=level == len(outputs) - 1)
            for level, (before, after) in enumerate(zip(inputs, outputs, strict=True))
        ]
        self.up_blocks = cast("Sequence[Level]", nn.ModuleList(levels))
        self.norm_out = Norm(outputs[-1], 3)
        self.conv_out = causal(outputs[-1], 3)

    def start(self, x: Float[Tensor, "b 1 h w c"]) -> State:
        """Return the state at the start of a clip."""
        return State(
            entry=nothing_seen(self.conv_in, x),
            middle=self.mid_block.start(x),
            levels=tuple(level.start(x, 2**number) for number, level in enumerate(self.up_blocks)),
            exit=nothing_seen(self.conv_out, x, SPATIAL_STRIDE),
        )

    def forward(self, x: Float[Tensor, "b 1 h w c"], state: State, *, first: bool) -> tuple[Float[Tensor, "b f y x 3"], State]:
        """Decode the next latent frame, `first` if it is the clip's first."""
        seen = torch.cat([state.entry, x], dim=1)
        entry = recent(seen)
        x, middle = self.mid_block(convolved(self.conv_in, seen), state.middle)
        levels = []
        for level, past in zip(self.up_blocks, state.levels, strict=True):
            x, after = level(x, past, first=first)
            levels.append(after)
        seen = self.norm_out.activated(x, state.exit)
        return convolved(self.conv_out, seen), State(entry, middle, tuple(levels), recent(seen))
