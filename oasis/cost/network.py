"""Everything that one call of the network does on an LQ clip of some size, and what a whole clip takes in tiles."""

from collections.abc import Sequence
from dataclasses import replace

from oasis.configs import OasisConfig
from oasis.cost.decoders import fast_decoder, skip, small_decoder, unshuffle, wan_decoder
from oasis.cost.executed import EXACT, Backend, Tile
from oasis.cost.operation import Operation, Work
from oasis.cost.transformer import setup, transformer
from oasis.grid import Grid
from oasis.routing import GLOBAL, Pattern, RoutingTable
from oasis.tiling import Tiling, latent_grid, padded_size

Size = tuple[int, int, int]


def operations(
    config: OasisConfig,
    size: Size,
    table: RoutingTable | None = None,
    *,
    backend: Backend = "folded",
    tile: Tile = EXACT,
) -> list[Operation]:
    """Return all operations of one call on one LQ clip of `size` (frames, rows, columns), and of the set-up at load.

    Dense without a table. `tile` is that of fused attention kernels, whose padding then counts as executed: an estimate,
    because kernels choose their tiles by device and shape.
    """
    layers = _patterns(config, table)
    latent = latent_grid(size, config.scale, config.dit.patch)
    pixels = Grid(*padded_size(size, config.scale, config.dit.patch)).tokens
    pt, ph, pw = config.dit.patch
    tokens = Grid(latent.t // pt, latent.h // ph, latent.w // pw)
    decoders = {
        "wan": lambda: wan_decoder(config.vae, latent, tile),
        "small": lambda: small_decoder(config, latent, pixels),
        "fast": lambda: fast_decoder(config, latent, pixels),
    }
    return [
        *unshuffle(config, latent, pixels),
        *skip(config, latent),
        *transformer(config, tokens, layers, backend, tile),
        *decoders[config.vae.kind](),
        *setup(config),
    ]


def clip_operations(
    config: OasisConfig,
    size: Size,
    tiling: Tiling,
    table: RoutingTable | None = None,
    *,
    backend: Backend = "folded",
    tile: Tile = EXACT,
) -> list[Operation]:
    """Return the operations that `oasis upscale` runs on a clip of `size` cut by `tiling`, overlaps computed twice included.

    Each is the sum over all calls; the set-up is done once.
    """
    sizes = tiling.calls(size)
    runs = [operations(config, part, table, backend=backend, tile=tile) for part in sizes]
    return [_over_calls(same, list(sizes.values())) for same in zip(*runs, strict=True)]


def _over_calls(same: Sequence[Operation], calls: Sequence[int]) -> Operation:
    """Add up one operation over calls of different sizes; its parameters stay as many, and what is set up is set up once."""
    first = same[0]
    if first.phase == "setup":
        return first
    work = sum((operation.work.repeated(number) for operation, number in zip(same, calls, strict=True)), Work())
    return replace(first, work=replace(work, parameters=first.work.parameters))


def _patterns(config: OasisConfig, table: RoutingTable | None) -> tuple[tuple[Pattern, ...], ...]:
    dit = config.dit
    if table is None:
        return ((GLOBAL,) * dit.heads,) * dit.layers
    if (len(table.layers), table.heads) != (dit.layers, dit.heads):
        raise ValueError(
            f"the routing table has {len(table.layers)} layers of {table.heads} heads, "
            f"{config.name} {dit.layers} of {dit.heads}"
        )
    if table.text:
        raise ValueError(f"the routing table has {table.text} text tokens; {config.name} attends to the video alone")
    return tuple(table.layer_patterns(layer) for layer in range(dit.layers))
