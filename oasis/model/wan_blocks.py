"""Parts of the Wan decoder; each takes and returns what its causal convolutions carry from step to step.

Activations are "b t h w c": channels lie last in memory, so that norms reduce over neighbours and convolutions get the layout
that tensor cores read (`channels_last_3d`) as a view. Modules have diffusers' names, because the weights have.
"""

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

MEMORY = 2  # frames before the present one that a kernel of three frames sees
_EPS = 1e-24  # of the mean square; the official code bounds the norm by 1e-12 instead, which differs only below that


class ResidualState(NamedTuple):
    """What the two convolutions of a residual block saw last."""

    first: Float[Tensor, "b 2 h w c"]
    second: Float[Tensor, "b 2 h w d"]


class LevelState(NamedTuple):
    """What a level saw last; `doubling` where it doubles the frames, else None."""

    residuals: tuple[ResidualState, ...]
    doubling: Float[Tensor, "b 2 h w c"] | None


class Norm(nn.Module):
    """RMS norm over channels; `axes` is how many axes of length one follow the channels in the stored weight."""

    def __init__(self, width: int, axes: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width, *(1,) * axes))

    def forward(self, x: Float[Tensor, "... c"]) -> Float[Tensor, "... c"]:
        """Normalise the vector of channels at every position."""
        return F.rms_norm(x, x.shape[-1:], self.gamma.flatten(), _EPS)

    def activated(self, x: Float[Tensor, "b t h w c"], past: Float[Tensor, "b 2 h w c"]) -> Float[Tensor, "b t2 h w c"]:
        """Return norm and SiLU of new frames behind the past ones: one pass once compiled, which then writes no copy."""
        return torch.cat([past, F.silu(self(x))], dim=1)


def causal(inputs: int, outputs: int, kernel: tuple[int, int, int] = (3, 3, 3)) -> nn.Conv3d:
    """Return a convolution that keeps rows and columns and takes its past as frames in front of the new ones."""
    return nn.Conv3d(inputs, outputs, kernel, padding=(0, kernel[1] // 2, kernel[2] // 2))


def convolved(layer: nn.Conv3d, x: Float[Tensor, "b s h w c"]) -> Float[Tensor, "b t h w d"]:
    """Convolve frames whose channels lie last, and leave them there.

    Tried on a processor, with 96 to 384 channels and 1 to 4 frames: three frames folded into channels for one 2-D convolution
    took 1.0 to 1.4 times as long, a sum of three 2-D convolutions 0.9 to 1.1 times.
    """
    return rearrange(layer(rearrange(x, "b s h w c -> b c s h w")), "b d t h w -> b t h w d")


def recent(x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b 2 h w c"]:
    """Return a copy of the last frames, so that the others can be freed; its strides are the same in every step."""
    return x[:, -MEMORY:].clone(memory_format=torch.contiguous_format)


def nothing_seen(layer: nn.Conv3d, like: Float[Tensor, "b t h w c"], enlarged: int = 1) -> Float[Tensor, "b 2 y x d"]:
    """Return the past of a convolution at the start of a clip: zeros, on `like`'s grid with sides so many times as long."""
    b, _, h, w, _ = like.shape
    return like.new_zeros(b, MEMORY, h * enlarged, w * enlarged, layer.in_channels)


class Residual(nn.Module):
    """Residual block: norm, SiLU and causal convolution, twice."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm1 = Norm(inputs, 3)
        self.conv1 = causal(inputs, outputs)
        self.norm2 = Norm(outputs, 3)
        self.conv2 = causal(outputs, outputs)
        self.conv_shortcut = nn.Identity() if inputs == outputs else causal(inputs, outputs, (1, 1, 1))

    def start(self, like: Float[Tensor, "b t h w i"], enlarged: int = 1) -> ResidualState:
        """Return the state at the start of a clip; arguments as in `nothing_seen`."""
        return ResidualState(nothing_seen(self.conv1, like, enlarged), nothing_seen(self.conv2, like, enlarged))

    def forward(self, x: Float[Tensor, "b t h w c"], state: ResidualState) -> tuple[Float[Tensor, "b t h w d"], ResidualState]:
        """Apply the block to the next frames."""
        seen = self.norm1.activated(x, state.first)
        first = recent(seen)
        hidden = convolved(self.conv1, seen)
        seen = self.norm2.activated(hidden, state.second)
        second = recent(seen)
        hidden = convolved(self.conv2, seen)
        kept = convolved(self.conv_shortcut, x) if isinstance(self.conv_shortcut, nn.Conv3d) else x
        return kept + hidden, ResidualState(first, second)


class FrameAttention(nn.Module):
    """Self-attention of one head over all positions of a frame."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = Norm(width, 2)
        self.to_qkv = nn.Conv2d(width, 3 * width, 1)
        self.proj = nn.Conv2d(width, width, 1)

    def forward(self, x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b t h w c"]:
        """Attend within every frame."""
        b, _, h, _, _ = x.shape
        qkv = self.to_qkv(rearrange(self.norm(x), "b t h w c -> (b t) c h w"))
        query, key, value = rearrange(qkv, "n c h w -> n 1 (h w) c").chunk(3, dim=-1)
        found = F.scaled_dot_product_attention(query, key, value)
        projected = self.proj(rearrange(found, "n 1 (h w) c -> n c h w", h=h))
        return x + rearrange(projected, "(b t) c h w -> b t h w c", b=b)


class Middle(nn.Module):
    """Two residual blocks with attention between them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.resnets = cast("Sequence[Residual]", nn.ModuleList(Residual(width, width) for _ in range(2)))
        self.attentions = nn.ModuleList([FrameAttention(width)])

    def start(self, like: Float[Tensor, "b t h w c"]) -> tuple[ResidualState, ...]:
        """Return the state at the start of a clip."""
        return tuple(block.start(like) for block in self.resnets)

    def forward(
        self, x: Float[Tensor, "b t h w c"], state: tuple[ResidualState, ...]
    ) -> tuple[Float[Tensor, "b t h w c"], tuple[ResidualState, ...]]:
        """Apply the blocks to the next frames."""
        x, before = self.resnets[0](x, state[0])
        x, after = self.resnets[1](self.attentions[0](x), state[1])
        return x, (before, after)


class Upsampler(nn.Module):
    """Twice as many rows and columns, half the channels and, where there is a `time_conv`, twice as many frames."""

    def __init__(self, width: int, *, doubles: bool) -> None:
        super().__init__()
        self.resample = nn.Sequential(
            nn.Upsample(scale_factor=2, mode="nearest-exact"), nn.Conv2d(width, width // 2, 3, padding=1)
        )
        self.time_conv = causal(width, 2 * width, (3, 1, 1)) if doubles else None

    def forward(
        self, x: Float[Tensor, "b t h w c"], past: Float[Tensor, "b 2 h w c"] | None, *, first: bool
    ) -> tuple[Float[Tensor, "b f y x d"], Float[Tensor, "b 2 h w c"] | None]:
        """Enlarge the next frames; the clip's first one is not doubled, and the frames after it are not told of it."""
        if self.time_conv is not None and past is not None and not first:
            seen = torch.cat([past, x], dim=1)
            past = recent(seen)
            x = rearrange(convolved(self.time_conv, seen), "b t h w (f c) -> b (t f) h w c", f=2)
        large = self.resample(rearrange(x, "b t h w c -> (b t) c h w"))
        return rearrange(large, "(b t) c h w -> b t h w c", b=x.shape[0]), past


class Level(nn.Module):
    """Residual blocks of one resolution and, but for the last level, the step to the next."""

    def __init__(self, inputs: int, outputs: int, blocks: int, *, doubles: bool, last: bool) -> None:
        super().__init__()
        residuals = [Residual(outputs if block else inputs, outputs) for block in range(blocks + 1)]
        self.resnets = cast("Sequence[Residual]", nn.ModuleList(residuals))
        self.upsamplers = cast("Sequence[Upsampler]", nn.ModuleList([] if last else [Upsampler(outputs, doubles=doubles)]))

    def start(self, like: Float[Tensor, "b t h w i"], enlarged: int) -> LevelState:
        """Return the state at the start of a clip; arguments as in `nothing_seen`."""
        residuals = tuple(block.start(like, enlarged) for block in self.resnets)
        time_conv = self.upsamplers[0].time_conv if self.upsamplers else None
        return LevelState(residuals, None if time_conv is None else nothing_seen(time_conv, like, enlarged))

    def forward(
        self, x: Float[Tensor, "b t h w c"], state: LevelState, *, first: bool
    ) -> tuple[Float[Tensor, "b f y x d"], LevelState]:
        """Apply the level to the next frames."""
        residuals, doubling = [], state.doubling
        for block, past in zip(self.resnets, state.residuals, strict=True):
            x, seen = block(x, past)
            residuals.append(seen)
        for upsampler in self.upsamplers:
            x, doubling = upsampler(x, doubling, first=first)
        return x, LevelState(tuple(residuals), doubling)
