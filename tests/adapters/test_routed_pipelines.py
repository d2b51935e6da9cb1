"""Routed and watched transformers of diffusers against diffusers' own code, in float64, forward and backward."""

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from diffusers.models.transformers.transformer_wan import WanAttnProcessor
from little_pipelines import KINDS, TEXT, forward, transformer
from torch import Tensor, nn

from oasis import adapters
from oasis.adapters.attention import Heads
from oasis.adapters.watching import install, installed
from oasis.attention.masked import pattern_mask
from oasis.grid import Grid
from oasis.model import tensors
from oasis.routing import Pattern, RoutingTable, parse_pattern

NAMES = {"G": "global", "F": "frame", "W": "window-2x3", "V": "window-2x2-shift", "S": "sliding-r1x1", "N": "neighbour-1"}
LAYERS = {"wan": 3, "vace": 5, "cogvideox-1.0": 2, "cogvideox-1.5": 2}
GRIDS = {kind: Grid(2 if kind == "cogvideox-1.5" else 3, 3, 4) for kind in KINDS}
Folder = Callable[[str], Path]


def text_of(kind: str) -> int:
    return TEXT if kind.startswith("cog") else 0


def table_for(kind: str, folder: Path, layers: tuple[str, ...] | None = None) -> RoutingTable:
    letters = np.random.default_rng(4).choice(list(NAMES), size=(LAYERS[kind], 3))
    return RoutingTable(
        model="any",
        weights_sha256=tensors.sha256(folder / "transformer"),
        patterns={letter: replace(parse_pattern(name), text=text_of(kind)) for letter, name in NAMES.items()},
        layers=layers or tuple("".join(row) for row in letters),
    )


def run(model: nn.Module, given: dict[str, Any]) -> Tensor:
    return model(**given, return_dict=False)[0]


@contextlib.contextmanager
def attending(attend: Callable[[int, Tensor, Tensor, Tensor], Tensor], kind: str) -> Iterator[None]:
    """Let diffusers' own processors call `attend(layer, q, k, v)` instead of the fused kernel, in their self-attention."""
    tokens = text_of(kind) + GRIDS[kind].tokens
    order = [3, 4, 0, 1, 2] if kind == "vace" else list(range(LAYERS[kind]))  # control blocks run first
    calls = iter(order)
    kernel = F.scaled_dot_product_attention

    def attention(query: Tensor, key: Tensor, value: Tensor, **named: Any) -> Tensor:
        if key.shape[2] != tokens:  # a prompt's keys
            return kernel(query, key, value, **named)
        return attend(next(calls), query, key, value)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(F, "scaled_dot_product_attention", attention)
        yield
    assert list(calls) == []


def masked_by(table: RoutingTable, grid: Grid) -> Callable[[int, Tensor, Tensor, Tensor], Tensor]:
    """Return attention written out, a mask for every head."""

    def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        masks = torch.stack([pattern_mask(pattern, grid) for pattern in table.layer_patterns(layer)])
        scores = (q @ k.transpose(-1, -2)) / q.shape[-1] ** 0.5
        return scores.masked_fill(~masks, -torch.inf).softmax(-1) @ v

    return attend


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_routed_equals_masks_in_diffusers_own_code_forward_and_backward(kind: str, fused: bool, folder_of: Folder) -> None:
    table, grid = table_for(kind, folder_of(kind)), GRIDS[kind]
    model, given = transformer(kind).double(), forward(kind)
    found = []
    if fused:
        model.fuse_qkv_projections()
    for routed in (False, True):
        given["hidden_states"] = given["hidden_states"].detach().requires_grad_()
        if routed:
            adapters.route(model, table, weights=folder_of(kind))
            out = run(model, given)
        else:
            with attending(masked_by(table, grid), kind):
                out = run(model, given)
        weight = torch.linspace(-1, 1, out.numel(), dtype=torch.float64).reshape(out.shape)
        found.append([out, *torch.autograd.grad((out * weight).sum(), given["hidden_states"])])
    for expected, actual in zip(*found, strict=True):
        assert actual.dtype == torch.float64 and expected.abs().max() > 0.1
        torch.testing.assert_close(actual, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_all_global_is_the_original_and_unroute_leaves_nothing(kind: str, folder_of: Folder) -> None:
    given = forward(kind, dtype=torch.float32)
    model = transformer(kind)
    before = run(model, given)
    own = {name: type(module.processor) for name, module in model.named_modules() if hasattr(module, "processor")}
    table = table_for(kind, folder_of(kind), ("GGG",) * LAYERS[kind])
    adapters.route(model, table, weights=folder_of(kind) / "transformer")
    if text_of(kind):  # text and video queries take a call each
        torch.testing.assert_close(run(model, given), before, rtol=0, atol=1e-5)
    else:
        assert torch.equal(run(model, given), before)
    adapters.unroute(model)
    adapters.route(model, table_for(kind, folder_of(kind)), weights=folder_of(kind))
    assert (run(model, given) - before).abs().max() > 1e-3
    adapters.unroute(model)
    assert torch.equal(run(model, given), before)
    assert own == {name: type(module.processor) for name, module in model.named_modules() if hasattr(module, "processor")}
    assert not model._forward_hooks and not model._forward_pre_hooks
    with pytest.raises(ValueError, match="is not routed"):
        adapters.unroute(model)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_watching_leaves_the_output_bit_identical_and_shows_what_diffusers_attends_to(kind: str, dtype: torch.dtype) -> None:
    model, given = transformer(kind).to(dtype), forward(kind, dtype=dtype)
    own: dict[int, tuple[Tensor, ...]] = {}
    kernel = F.scaled_dot_product_attention
    with attending(lambda layer, *qkv: own.update({layer: qkv}) or kernel(*qkv), kind):
        before = run(model, given)
    seen: dict[int, tuple[Tensor, ...]] = {}
    family = adapters.family_of(type(model).__name__, "here")
    with adapters.watching(model, family, lambda layer, *qkv: seen.update({layer: qkv})) as heads:
        assert torch.equal(run(model, given), before)
        assert heads.grid == GRIDS[kind]
    assert list(seen) == list(own) and len(seen) == LAYERS[kind]
    for layer in range(LAYERS[kind]):
        assert all(torch.equal(a, b) for a, b in zip(seen[layer], own[layer], strict=True))
    assert installed(model, family) is None and torch.equal(run(model, given), before)


def test_layers_of_vace_are_named() -> None:
    family = adapters.FAMILIES["WanVACETransformer3DModel"]
    assert list(family.layers(transformer("vace"))) == ["blocks.0", "blocks.1", "blocks.2", "vace_blocks.0", "vace_blocks.1"]


@pytest.mark.parametrize("kind", ["wan", "cogvideox-1.0"])
def test_a_layer_that_does_not_run_exactly_once_is_told(kind: str) -> None:
    model, given = transformer(kind), forward(kind, dtype=torch.float32)
    family = adapters.family_of(type(model).__name__, "here")
    layers = family.layers(model)
    name, attention = list(layers.items())[1]
    said = rf"the self-attention of {name} ran {{}} times in one forward, not once \(1 of {len(layers)} layers\); diffusers "
    with adapters.watching(model, family, lambda *_: None):
        ours = attention.processor
        attention.set_processor(
            WanAttnProcessor() if kind == "wan" else diffusers.models.attention_processor.CogVideoXAttnProcessor2_0()
        )
        with pytest.raises(ValueError, match=said.format(0) + diffusers.__version__):
            run(model, given)
        attention.set_processor(Twice(ours))
        with pytest.raises(ValueError, match=said.format(2)):
            run(model, given)
        attention.set_processor(ours)
        run(model, given)


class Twice:
    def __init__(self, processor: Any) -> None:
        self.processor = processor

    def __call__(self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Any = None, *rest: Any, **named: Any) -> Any:
        self.processor(attn, hidden_states, encoder_hidden_states, *rest, **named)
        return self.processor(attn, hidden_states, encoder_hidden_states, *rest, **named)


def test_what_does_not_fit_is_refused(folder_of: Folder, tmp_path: Path) -> None:
    wan, cog = transformer("wan"), transformer("cogvideox-1.0")
    table = table_for("wan", folder_of("wan"))

    def refused(message: str, model: Any, table: RoutingTable, **named: Any) -> None:
        with pytest.raises(ValueError, match=message):
            adapters.route(model, table, **named)
        assert not model._forward_hooks

    refused(
        "routing table has 2 layers of 3 heads, this WanTransformer3DModel 3 of 3", wan, replace(table, layers=("GGG",) * 2)
    )
    refused("routing table has 3 layers of 2 heads", wan, replace(table, layers=("GG",) * 3))
    refused("the safetensors of this WanTransformer3DModel are not at a known place; name their folder as weights=", wan, table)
    refused("are not at .*nowhere", wan, table, weights=tmp_path / "nowhere")
    refused("the routing table is for weights .*, these are", wan, table, weights=folder_of("vace"))
    refused("attention backend 'dense' is unknown", wan, table, weights=folder_of("wan"), backend="dense")
    refused("transformer 'Linear' has no adapter; allowed: WanTransformer3DModel, WanVACE", nn.Linear(2, 2), table)
    joint = table_for("cogvideox-1.0", folder_of("cogvideox-1.0"))
    other = {letter: replace(pattern, text=7) for letter, pattern in joint.patterns.items()}
    refused(
        "table has 7 text tokens in its self-attention, this CogVideoXTransformer3DModel 5", cog, replace(joint, patterns=other)
    )
    adapters.route(cog, joint, weights=folder_of("cogvideox-1.0"))
    with pytest.raises(ValueError, match=r"is routed or watched already; oasis.adapters.unroute it first"):
        adapters.route(cog, joint, weights=folder_of("cogvideox-1.0"))
    given = forward("cogvideox-1.0", dtype=torch.float32)
    given["encoder_hidden_states"] = given["encoder_hidden_states"][:, :4]
    with pytest.raises(ValueError, match="the routing table has 5 text tokens, this call 4; allowed: as many"):
        run(cog, given)


def test_masks_and_foreign_positions_are_refused() -> None:
    wan, given = transformer("wan"), forward("wan", dtype=torch.float32)
    heads = Heads(layers=("blocks.0", "blocks.1", "blocks.2"))
    install(wan, adapters.FAMILIES["WanTransformer3DModel"], heads)
    states = torch.zeros(1, 36, 36)
    with pytest.raises(ValueError, match="layer 0: Wan's self-attention got a mask"):
        wan.blocks[0].attn1(states, None, torch.ones(36, 36), None)
    with pytest.raises(ValueError, match="layer 1: rotary positions are Tensor; allowed: cosines and sines"):
        wan.blocks[1].attn1(states, None, None, torch.ones(36, 6))
    assert run(wan, given).shape == (2, 4, 3, 6, 8)


def test_weights_are_found_where_diffusers_read_them(folder_of: Folder) -> None:
    folder = folder_of("wan")
    for place, named in ((folder / "transformer", {}), (folder, {"subfolder": "transformer"})):
        model = diffusers.WanTransformer3DModel.from_pretrained(place, **named)
        adapters.route(model, table_for("wan", folder))
        assert installed(model, adapters.FAMILIES["WanTransformer3DModel"]) is not None


def test_heads_of_equal_pattern_are_brought_together(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[list[str]] = []
    patterns: tuple[Pattern, ...] = tuple(parse_pattern(NAMES[letter]) for letter in "GFGF")
    heads = Heads(layers=("one",), patterns=(patterns,), grid=Grid(2, 2, 2))
    from oasis.adapters import attention

    real = attention.attend
    monkeypatch.setattr(
        attention, "attend", lambda q, k, v, p, *a, **n: chosen.append([x.name for x in p]) or real(q, k, v, p, *a, **n)
    )
    q, k, v = torch.randn(3, 1, 4, 8, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = real(q, k, v, patterns, Grid(2, 2, 2), backend="masked")
    torch.testing.assert_close(heads.attend(0, q, k, v), expected, rtol=0, atol=1e-12)
    assert chosen == [["frame", "frame", "global", "global"]]


def whole(kind: str, folder: Path) -> Any:
    """Return diffusers' pipeline over a folder's parts, without a text encoder."""
    parts: dict[str, Any] = {"tokenizer": None, "text_encoder": None}
    if kind == "wan":
        parts["vae"] = diffusers.AutoencoderKLWan.from_pretrained(folder / "vae")
        parts["scheduler"] = diffusers.FlowMatchEulerDiscreteScheduler.from_pretrained(folder / "scheduler")
        made: Any = diffusers.WanPipeline(
            **parts, transformer=diffusers.WanTransformer3DModel.from_pretrained(folder / "transformer")
        )
    else:
        parts["vae"] = diffusers.AutoencoderKLCogVideoX.from_pretrained(folder / "vae")
        parts["scheduler"] = diffusers.CogVideoXDPMScheduler.from_pretrained(folder / "scheduler")
        network = diffusers.CogVideoXTransformer3DModel.from_pretrained(folder / "transformer")
        made = diffusers.CogVideoXPipeline(**parts, transformer=network)
    made.set_progress_bar_config(disable=True)
    return made


@pytest.mark.parametrize("kind", ["wan", "cogvideox-1.0"])
def test_a_readers_own_pipeline_is_routed_in_two_lines(kind: str, folder_of: Folder) -> None:
    pipe = whole(kind, folder_of(kind))
    words = torch.randn(2, 1, TEXT, 8 if kind == "wan" else 6, generator=torch.Generator().manual_seed(3))

    def video() -> Tensor:
        return pipe(
            prompt_embeds=words[0],
            negative_prompt_embeds=words[1],
            height=32,
            width=48,
            num_frames=9,
            num_inference_steps=2,
            generator=torch.Generator().manual_seed(0),
            output_type="latent",
        ).frames

    before = video()
    adapters.route(pipe.transformer, table_for(kind, folder_of(kind), ("GGG",) * LAYERS[kind]))
    torch.testing.assert_close(video(), before, rtol=0, atol=1e-4)
    adapters.unroute(pipe.transformer)
    adapters.route(pipe.transformer, table_for(kind, folder_of(kind)))
    routed = video()
    assert routed.isfinite().all() and (routed - before).abs().max() > 1e-3
    adapters.unroute(pipe.transformer)
    assert torch.equal(video(), before)


def test_diffusers_is_imported_where_it_is_needed() -> None:
    code = "import sys, oasis.adapters; print({'diffusers', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert (done.returncode, done.stdout) == (0, "set()\n"), done.stderr
