"""The operations around the transformer: unshuffle, skip, all decoders and the bicubic path of the small one."""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from oasis.configs import SPATIAL_STRIDE, TEMPORAL_STRIDE, WAN_WIDTHS, OasisConfig, VAEConfig
from oasis.cost.executed import Rectangle, Tile, padded_pairs
from oasis.cost.operation import Operation, Work, convolution, linear, product, stored
from oasis.grid import Grid

PIXELS = 3 * TEMPORAL_STRIDE * SPATIAL_STRIDE**2


def unshuffle(config: OasisConfig, latent: Grid, pixels: int) -> Iterator[Operation]:
    """Yield the pixel-unshuffle of a padded clip of `pixels` pixels (all frames): no FLOPs, only moves."""
    moved = 3 * pixels + config.dit.in_channels * latent.tokens
    yield Operation(phase="unshuffle", part="pixel-unshuffle", work=Work(activations=moved))


def skip(config: OasisConfig, latent: Grid) -> Iterator[Operation]:
    """Yield the linear map around the transformer, where there is one."""
    inputs, outputs = config.dit.in_channels, config.dit.out_channels
    if config.skip:
        work = convolution(latent.tokens, (3, 3), inputs, outputs) + stored(outputs)
        yield Operation(phase="skip", part="filter", work=work)


def small_decoder(config: OasisConfig, latent: Grid, pixels: int) -> Iterator[Operation]:
    """Yield the small VAE's decoder, then the path that takes what its latents cannot hold from the upscaled clip.

    The trunk works on `pixels` LQ pixels (all frames), from which that path starts too; interpolation is not counted, only
    what it moves.
    """
    n, channels = latent.tokens, config.vae.channels
    yield from _trunk(config, latent, pixels, kernel=1)
    basis = linear(n, channels, PIXELS, bias=False)
    yield Operation(phase="decoder", part="linear decoding", work=basis + stored(PIXELS + channels))
    again = replace(basis, parameters=0)  # the same basis three times
    enlarged = 3 * pixels * (1 + config.scale**2)
    yield Operation(phase="bicubic", part="interpolation", work=Work(activations=enlarged))
    yield Operation(phase="bicubic", part="projection onto latents", work=again)
    yield Operation(phase="bicubic", part="linear decoding", work=again)


def fast_decoder(config: OasisConfig, latent: Grid, pixels: int) -> Iterator[Operation]:
    """Yield the fast decoder on `pixels` LQ pixels (all frames); interpolation is not counted, only what it moves."""
    yield from _trunk(config, latent, pixels, kernel=3)
    enlarged = 3 * pixels * (1 + config.scale**2)
    yield Operation(phase="decoder", part="interpolation", work=Work(activations=enlarged))


def _trunk(config: OasisConfig, latent: Grid, pixels: int, kernel: int) -> Iterator[Operation]:
    vae = config.vae
    width, group = vae.width, TEMPORAL_STRIDE * (SPATIAL_STRIDE // config.scale) ** 2
    steps: list[tuple[str, Work]] = [
        ("unfold", convolution(latent.tokens, (kernel, kernel), vae.channels, width * group)),
        ("enter", convolution(pixels, (3, 3), width + 3, width)),
    ]
    for block in range(vae.blocks):
        steps += [
            (f"trunk.{block}.mix", convolution(pixels, (3, 3), width, width)),
            (f"trunk.{block}.out", convolution(pixels, (1, 1), width, width)),
        ]
    steps.append(("leave", convolution(pixels, (3, 3), width, 3 * config.scale**2)))
    for detail, work in steps:
        yield Operation(phase="decoder", part="residual trunk", detail=detail, work=work)


class _Size(NamedTuple):
    """Frames over the whole clip, rows and columns of a feature map."""

    frames: int
    h: int
    w: int

    @property
    def positions(self) -> int:
        return self.frames * self.h * self.w


def wan_decoder(vae: VAEConfig, latent: Grid, tile: Tile) -> Iterator[Operation]:
    """Yield the convolutions of the Wan decoder, run latent frame by latent frame with carried frames.

    The first latent frame becomes one frame, each later one four: the two convolutions that double the frames do not run
    for the first. Names are those of the module.
    """
    size = _Size(latent.t, latent.h, latent.w)
    widest = WAN_WIDTHS[0] * vae.width

    def step(part: str, detail: str, work: Work) -> Operation:
        return Operation(phase="decoder", part=part, detail=detail, work=work)

    yield step("entry", "post_quant_conv", convolution(size.positions, (1, 1, 1), vae.channels, vae.channels))
    yield step("entry", "conv_in", convolution(size.positions, (3, 3, 3), vae.channels, widest))
    for name, work in _residual("mid_block.resnets.0", widest, widest, size):
        yield step("middle", name, work)
    for name, work in _frame_attention("mid_block.attentions.0", widest, size, tile):
        yield step("middle", name, work)
    for name, work in _residual("mid_block.resnets.1", widest, widest, size):
        yield step("middle", name, work)
    inputs = widest
    for level, factor in enumerate(WAN_WIDTHS):
        part, outputs = f"level {level}", factor * vae.width
        for block in range(vae.blocks + 1):
            for name, work in _residual(f"up_blocks.{level}.resnets.{block}", inputs, outputs, size):
                yield step(part, name, work)
            inputs = outputs
        if level == len(WAN_WIDTHS) - 1:
            break
        upsampler = f"up_blocks.{level}.upsamplers.0"
        if level < 2:  # the first two levels double the frames
            doubled = (size.frames - 1) * size.h * size.w
            yield step(part, f"{upsampler}.time_conv", convolution(doubled, (3, 1, 1), outputs, 2 * outputs))
            size = size._replace(frames=2 * size.frames - 1)
        size = size._replace(h=2 * size.h, w=2 * size.w)
        yield step(part, f"{upsampler}.resample.1", convolution(size.positions, (3, 3), outputs, outputs // 2))
        inputs = outputs // 2
    yield step("exit", "norm_out", stored(inputs))
    yield step("exit", "conv_out", convolution(size.positions, (3, 3, 3), inputs, 3))


def _residual(name: str, inputs: int, outputs: int, size: _Size) -> Iterator[tuple[str, Work]]:
    yield f"{name}.conv1", stored(inputs) + convolution(size.positions, (3, 3, 3), inputs, outputs)
    yield f"{name}.conv2", stored(outputs) + convolution(size.positions, (3, 3, 3), outputs, outputs)
    if inputs != outputs:
        yield f"{name}.conv_shortcut", convolution(size.positions, (1, 1, 1), inputs, outputs)


def _frame_attention(name: str, width: int, size: _Size, tile: Tile) -> Iterator[tuple[str, Work]]:
    pixels = size.h * size.w
    yield f"{name}.to_qkv", stored(width) + convolution(size.positions, (1, 1), width, 3 * width)
    exact = product(2 * width * size.frames * pixels**2, activations=4 * width * size.positions)
    padded = 4 * width * size.frames * padded_pairs(Rectangle(pixels, pixels), tile)
    yield f"{name} scores and values", replace(exact, executed=padded)
    yield f"{name}.proj", convolution(size.positions, (1, 1), width, width)
