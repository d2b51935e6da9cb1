"""What is compared: resampling, single-image networks, our network dense and routed; all turn LQ frames into HR frames."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from einops import rearrange
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from oasis import upscale, weights
from oasis.methods import MethodCard
from oasis.model import load_model, packaged_routing
from oasis.model.oasis import parameter_counts
from oasis.routing import RoutingTable
from oasis.suite import single_image
from oasis.suite.routings import Routed
from oasis.suite.state import DENSE, Bench

SCALE = 4
TRAINED_ROUTED = "tiny-routed"
PILLOW = "oasis bench, with Pillow's Image.resize"
FILTERS = {
    "bicubic": ("Bicubic (a = -0.5)", Image.Resampling.BICUBIC),
    "lanczos": ("Lanczos (a = 3)", Image.Resampling.LANCZOS),
}
Upscale = Callable[[UInt8[Tensor, "t 3 h w"]], Iterator[UInt8[Tensor, "3 y x"]]]
"""Takes all LQ frames of a clip and yields as many, 4 times as large."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """A method: its card, what computes in it, and how it is made ready; `open` raises `weights.Missing` where it cannot be."""

    card: MethodCard
    backend: str
    open: Callable[[], Upscale]

    @property
    def name(self) -> str:
        """What rows call it."""
        return self.card.name


def methods(bench: Bench, routed: Sequence[Routed]) -> list[Method]:
    """Return all methods: resampling, single-image networks, our network dense, then routed."""
    single = [_single_image(name, bench.settings.device) for name in single_image.NETWORKS]
    ours = [_ours(bench, each) for each in (None, *routed)]
    trained = [_trained_routed(bench)] if bench.settings.model == "tiny" else []
    return [*map(_resampling, FILTERS), *single, *ours, *trained]


def opened(chosen: Sequence[Method]) -> tuple[dict[str, Upscale], dict[str, weights.Missing]]:
    """Return the methods made ready, by name, and what those lack that cannot be."""
    ready, missing = {}, {}
    for method in chosen:
        try:
            ready[method.name] = method.open()
        except weights.Missing as error:
            missing[method.name] = error
    return ready, missing


def _resampling(name: str) -> Method:
    title, kernel = FILTERS[name]
    card = MethodCard(
        name=name,
        title=title,
        venue="",
        link="",
        parameters=0,
        kind="classic",
        ran_by=PILLOW,
        note="Frame by frame; pixels as areas, as MATLAB's imresize.",
    )
    return Method(card=card, backend="pillow", open=lambda: partial(_resample, kernel))


def _resample(kernel: Image.Resampling, frames: UInt8[Tensor, "t 3 h w"]) -> Iterator[UInt8[Tensor, "3 y x"]]:
    for frame in frames:
        image = Image.fromarray(np.ascontiguousarray(rearrange(frame, "c h w -> h w c").numpy()))
        large = image.resize((image.width * SCALE, image.height * SCALE), kernel)
        yield rearrange(torch.from_numpy(np.array(large)), "h w c -> c h w")


def _single_image(name: str, device: str) -> Method:
    network = single_image.NETWORKS[name]
    with torch.device("meta"):
        parameters = sum(parameter.numel() for parameter in network.build().parameters())
    card = MethodCard(
        name=name,
        title=network.title,
        venue=network.venue,
        link=network.link,
        parameters=parameters,
        kind="published",
        ran_by="oasis bench: our implementation with the published weights",
        note="Frame by frame; trained on bicubic input without noise or compression, which the built-in clips are not.",
    )

    def open_() -> Upscale:
        loaded = single_image.load(name).to(device)
        return lambda frames: (single_image.upscale(loaded, frame, network.white).cpu() for frame in frames)

    return Method(card=card, backend="torch", open=open_)


def _ours(bench: Bench, routed: Routed | None) -> Method:
    trained = "A tiny demonstrator, no rival to published methods." if bench.loaded.trained else "UNTRAINED WEIGHTS."
    model = bench.settings.model
    if routed is None:
        return _network(bench, DENSE, trained, model)
    control = " (control)" if routed.control else ""
    return _network(bench, routed.name, f"{trained} Routed by {routed.rule}.", model, table=routed.table, control=control)


def _trained_routed(bench: Bench) -> Method:
    """Return our network with the weights that were trained on with a routing, on that routing."""
    rule = packaged_routing(TRAINED_ROUTED).rule
    note = (
        f"A tiny demonstrator, trained on with a routing by {rule['name']} at {rule['attention_flops_ratio']:.2f} of dense "
        "attention FLOPs; the weights of the other routings were not."
    )
    return _network(bench, "trained-routed", note, TRAINED_ROUTED)


def _network(
    bench: Bench, variant: str, note: str, model: str, *, table: RoutingTable | None = None, control: str = ""
) -> Method:
    card = MethodCard(
        name=bench.variant(variant),
        title=f"{bench.model} {variant}{control}",
        venue="",
        link="",
        parameters=parameter_counts(bench.loaded.model)["total"],
        kind="ours",
        ran_by="oasis bench, by oasis.upscale",
        note=note,
    )

    def open_() -> Upscale:
        network = load_model(model, table).model.to(bench.settings.device)
        return lambda frames: (frame.cpu() for frame in upscale.upscale(network, frames, upscale.Tiling()))

    return Method(card=card, backend="folded", open=open_)
