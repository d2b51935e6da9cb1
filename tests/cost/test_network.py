"""Closed forms of the whole network against masks, torch's FlopCounterMode, the modules' parameters and real runs."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import grids, patterns
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from oasis import cost
from oasis.attention.masked import pattern_mask
from oasis.configs import PRESETS, TINY, WAN_1_3B, WAN_1_3B_FAST, DiTConfig, OasisConfig, VAEConfig, unshuffled_channels
from oasis.cost import Level, Operation
from oasis.cost.transformer import SELF_ATTENTION, transformer
from oasis.grid import Grid
from oasis.model import build
from oasis.model.oasis import Oasis, parameter_counts
from oasis.routing import FRAME, GLOBAL, Pattern, RoutingTable, window
from oasis.tiling import Tiling
from oasis.upscale import upscale

SMALL_VAE = VAEConfig(kind="small", channels=6, width=8, blocks=3)
WAN_VAE = VAEConfig(kind="wan", channels=16, width=8, blocks=1)
FAST_VAE = VAEConfig(kind="fast", channels=16, width=8, blocks=2)
SIZES = [(1, 8, 8), (5, 16, 8), (10, 10, 14)]


def little(vae: VAEConfig = SMALL_VAE, patch: tuple[int, int, int] = (1, 2, 2), scale: int = 4, **changes: int) -> OasisConfig:
    sizes = dict(dim=48, heads=4, layers=2, ffn_dim=64, text_dim=10, text_len=9, freq_dim=16) | changes
    channels = dict(in_channels=unshuffled_channels(scale), out_channels=vae.channels)
    dit = DiTConfig(**channels, **sizes, patch=patch)
    return OasisConfig(name="little", scale=scale, dit=dit, vae=vae, timestep=399.0, prompt_tokens=3, skip=vae.kind == "small")


VARIETY = [
    little(),
    little(patch=(1, 1, 1), scale=2),
    little(patch=(2, 1, 1), layers=3),
    little(text_len=3),
    little(WAN_VAE),
    little(FAST_VAE),
    little(FAST_VAE, scale=2),
    little(dataclasses.replace(WAN_VAE, blocks=2), text_len=4),
]


def ready(config: OasisConfig, device: str = "cpu", table: RoutingTable | None = None) -> Oasis:
    with torch.device(device):
        model = (build(config, table) if device == "cpu" else Oasis(config).eval()).requires_grad_(False)
    model.fold_constants()
    return model


@contextmanager
def counted() -> Iterator[Callable[[], dict[str, int]]]:
    """Yield a function that returns FLOPs by module; "" is the whole, and names go on from the model's."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        yield lambda: {
            name.removeprefix("Oasis.") if name != "Global" else "": sum(found.values())
            for name, found in counter.get_flop_counts().items()
        }


def executed(operations: list[Operation], **where: object) -> int:
    wanted = [each for each in operations if all(getattr(each, field) == value for field, value in where.items())]
    assert wanted
    return cost.total(wanted).executed


def per_call(operations: list[Operation]) -> int:
    return cost.levels(operations)[Level("total")].executed


@settings(max_examples=200, deadline=None)
@given(grids, st.lists(st.lists(patterns, min_size=4, max_size=4), min_size=1, max_size=3))
def test_useful_flops_of_a_routing_are_its_masks(grid: Grid, layers: list[list[Pattern]]) -> None:
    config = little(layers=len(layers))
    found = list(transformer(config, grid, layers, "folded", cost.EXACT))
    for layer, heads in enumerate(layers):
        attention = cost.total(each for each in found if each.part == SELF_ATTENTION and each.layer == layer)
        pairs = sum(int(pattern_mask(pattern, grid).sum()) for pattern in heads)
        assert attention.useful == 4 * 12 * pairs
        assert attention.dense == 4 * 12 * 4 * grid.tokens**2
        for pattern in set(heads):
            group = executed(found, part=SELF_ATTENTION, layer=layer, detail=pattern.name)
            assert group == 4 * 12 * heads.count(pattern) * cost.executed_pairs(pattern, grid, "folded")


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("config", VARIETY, ids=range(len(VARIETY)))
def test_every_module_costs_what_torch_counts(config: OasisConfig, size: tuple[int, int, int]) -> None:
    check_modules(config, size, "meta" if config.vae.kind == "wan" else "cpu")


@pytest.mark.parametrize(
    ("config", "size"), [(TINY, (9, 16, 24)), (WAN_1_3B, (9, 30, 50)), (WAN_1_3B_FAST, (9, 30, 50))], ids=PRESETS
)
def test_presets_cost_what_torch_counts_without_weights(config: OasisConfig, size: tuple[int, int, int]) -> None:
    check_modules(config, size, "meta")


def check_modules(config: OasisConfig, size: tuple[int, int, int], device: str) -> None:
    model = ready(config, device)
    operations = cost.operations(config, size)
    with counted() as found:
        model(torch.zeros(1, 3, *size, device=device))
    flops = found()
    assert per_call(operations) == flops[""]
    assert executed(operations, phase="dit") == flops["dit"]
    assert executed(operations, part="head") == flops["dit.head"]
    for layer in range(config.dit.layers):
        name = f"dit.blocks.{layer}"
        assert executed(operations, phase="dit", layer=layer) == flops[name]
        assert executed(operations, part="mlp", layer=layer) == flops[f"{name}.mlp"]
        projections = sum(flops[f"{name}.self_attention.{each}"] for each in ("query", "key", "value", "output"))
        assert executed(operations, part="self-attention projections", layer=layer) == projections
        projections = sum(flops[f"{name}.cross_attention.{each}"] for each in ("query", "output"))
        assert executed(operations, part="cross-attention projections", layer=layer) == projections
    if config.skip:
        assert executed(operations, phase="skip") == flops["skip"]
    convolutions = {each.detail: each.work.executed for each in operations if each.phase == "decoder" and each.detail}
    modules = {name.removeprefix("vae.").removeprefix("decoder."): each for name, each in flops.items()}
    steps = {name: work for name, work in convolutions.items() if " " not in name}  # an attention's products are no module
    assert steps == {name: modules.get(name, 0) for name in steps}
    ours = {
        name.removeprefix("decoder.") for name, each in model.vae.named_modules() if isinstance(each, (nn.Conv2d, nn.Conv3d))
    }
    assert ours <= set(steps)


@pytest.mark.parametrize("config", VARIETY, ids=range(len(VARIETY)))
def test_the_set_up_costs_what_torch_counts(config: OasisConfig) -> None:
    model = ready(config)
    with counted() as found:
        model.fold_constants()
    assert executed(cost.operations(config, (5, 8, 8)), phase="setup") == found()[""]


@pytest.mark.parametrize("config", [*VARIETY, *PRESETS.values()], ids=lambda config: config.name)
def test_parameters_are_the_modules(config: OasisConfig) -> None:
    with torch.device("meta"):
        expected = parameter_counts(Oasis(config))
    sums = {level: work.parameters for level, work in cost.levels(cost.operations(config, (5, 8, 8))).items()}
    keys_and_values = sums[Level("setup", "cross-attention keys and values")]
    assert sums[Level("total")] == expected["total"]
    assert sums[Level("dit", "patch embedding")] == expected["patch embedding"]
    assert sums[Level("dit", "self-attention projections")] == expected["self-attention"]
    assert sums[Level("dit", "cross-attention projections")] + keys_and_values == expected["cross-attention"]
    assert sums[Level("dit", "mlp")] == expected["mlp"]
    assert sums[Level("dit", "head")] + sums[Level("setup", "head modulation")] == expected["head"]
    assert sums[Level("decoder")] == expected["decoder"]
    assert sums.get(Level("skip"), 0) == expected["skip"]
    for part in ("prompt", "text embedding", "time embedding", "modulation"):
        assert sums[Level("setup", part)] == expected[part]


def test_routed_heads_cost_what_torch_counts_in_the_folded_calls() -> None:
    config = little(patch=(1, 1, 1))
    sliding = Pattern(kind="sliding", radius=(1, 1))
    table = RoutingTable(
        model="little",
        weights_sha256="0",
        patterns={"G": GLOBAL, "F": FRAME, "W": window(2, 3), "S": sliding},
        layers=("GFWS", "SSFG"),
    )
    operations = cost.operations(config, (9, 10, 14), table)
    with counted() as found:
        ready(config, table=table)(torch.zeros(1, 3, 9, 10, 14))
    assert found()["dit"] == executed(operations, phase="dit")
    work = cost.levels(operations)[Level("total")]
    assert work.useful < work.executed < work.dense


@pytest.mark.parametrize("config", [little(patch=(1, 1, 1)), little(WAN_VAE), little(FAST_VAE)], ids=["small", "wan", "fast"])
def test_activations_are_what_goes_into_and_out_of_the_modules(config: OasisConfig) -> None:
    moved: Counter[str] = Counter()
    model = ready(config)

    def note(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            carried = inputs[0].shape[2] - output.shape[2] if isinstance(module, nn.Conv3d) else 0
            moved[name] += inputs[0][:, :, carried:].numel() + output.numel()  # what is carried went in before

        return hook

    for name, module in model.named_modules():
        if isinstance(module, (nn.Linear, nn.Conv2d, nn.Conv3d)):
            module.register_forward_hook(note(name))
    with torch.no_grad():
        model(torch.zeros(1, 3, 9, 16, 8))
    operations = cost.operations(config, (9, 16, 8))
    sums = {level: work.activations for level, work in cost.levels(operations).items()}
    assert sums[Level("dit", "mlp")] == sum(number for name, number in moved.items() if ".mlp." in name)
    assert sums[Level("dit", "head")] == moved["dit.head.projection"]
    for part in ("self-attention", "cross-attention"):
        inside = f".{part.replace('-', '_')}."
        assert sums[Level("dit", f"{part} projections")] == sum(number for name, number in moved.items() if inside in name)
    convolutions = {each.detail: each.work.activations for each in operations if each.phase == "decoder" and each.detail}
    for name, number in moved.items():
        inner = name.removeprefix("vae.").removeprefix("decoder.")
        if name.startswith("vae."):
            assert convolutions[inner] == number, name


def test_only_masked_attention_writes_its_scores() -> None:
    folded, masked = (
        cost.levels(cost.operations(little(), (5, 16, 16), backend=backend))[Level("dit", SELF_ATTENTION)]
        for backend in ("folded", "masked")
    )
    tokens = 2 * 4 * 4
    assert folded.activations == 2 * 4 * tokens * 48
    assert masked.activations - folded.activations == 2 * 4 * 2 * tokens**2


def test_a_clip_in_tiles_costs_what_upscale_runs() -> None:
    config, tiling = little(patch=(1, 1, 1)), Tiling(frames=6, height=10, width=8, overlap_frames=2, overlap=2)
    model = ready(config)
    sizes: Counter[tuple[int, ...]] = Counter()
    model.register_forward_pre_hook(lambda module, inputs: sizes.update([tuple(inputs[0].shape[2:])]))
    for size in ((6, 10, 8), (7, 15, 9), (11, 4, 8)):
        sizes.clear()
        with counted() as found:
            assert len(list(upscale(model, torch.zeros(size[0], 3, *size[1:], dtype=torch.uint8), tiling))) == size[0]
        assert tiling.calls(size) == sizes
        operations = cost.clip_operations(config, size, tiling)
        assert per_call(operations) == found()[""]
        once = cost.operations(config, size)
        assert cost.total(operations).parameters == cost.total(once).parameters
        assert executed(operations, phase="setup") == executed(once, phase="setup")
        weights = cost.levels(operations)[Level("total")].weights
        assert weights == cost.levels(once)[Level("total")].weights * sizes.total()


def test_tiles_of_a_kernel_touch_only_attention() -> None:
    exact, padded = (cost.operations(little(WAN_VAE), (5, 12, 12), tile=tile) for tile in (cost.EXACT, cost.Tile(64, 32)))
    changed = {one.part for one, other in zip(exact, padded, strict=True) if one.work.executed != other.work.executed}
    assert changed == {SELF_ATTENTION, "cross-attention scores and values", "middle"}
    assert all(one.work.useful == other.work.useful for one, other in zip(exact, padded, strict=True))


def test_a_table_of_other_sizes_is_refused() -> None:
    table = RoutingTable(model="little", weights_sha256="0", patterns={"G": GLOBAL}, layers=("GG",))
    with pytest.raises(ValueError, match="has 1 layers of 2 heads, little 2 of 4"):
        cost.operations(little(), (5, 8, 8), table)


def test_levels_add_up() -> None:
    operations = cost.operations(TINY, (5, 16, 16))
    sums = cost.levels(operations)
    assert next(iter(sums)) == Level("total")
    phases = [work for level, work in sums.items() if not level.part and level.phase not in ("total", "setup")]
    assert sum(work.useful for work in phases) == sums[Level("total")].useful
    for level, work in sums.items():
        if level.part and level.layer < 0 and not level.detail:
            layers = [each for key, each in sums.items() if key[:2] == level[:2] and key.layer >= 0 and not key.detail]
            assert not layers or sum(each.executed for each in layers) == work.executed
    rows = cost.costs(operations, subject="tiny", case="5x16x16", itemsize=2)
    assert len(rows) == 3 * len(sums) == len({(row.phase, row.part, row.layer, row.kind) for row in rows})
    assert rows[0].phase == "total" and rows[0].parameters == 5_066_832
