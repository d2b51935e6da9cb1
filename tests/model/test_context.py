"""A clip on three processes and on two of them against one process, and how heads and tokens are shared among them."""

import itertools
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import little
import pytest
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st
from strategies import grids, patterns
from torch import Tensor

from oasis.cost import executed_pairs
from oasis.grid import Grid
from oasis.model import context, route
from oasis.model.oasis import Oasis
from oasis.model.unshuffle import pad_clip
from oasis.routing import FRAME, GLOBAL, Pattern, RoutingTable, window

PATTERNS = {
    "G": GLOBAL,
    "F": FRAME,
    "W": window(2, 3),
    "S": window(4, 4, shift=True),
    "N": Pattern(kind="neighbour", frames=1),
    "R": Pattern(kind="sliding", radius=(1, 2)),
}
DENSE = "GGGGGGGG"


class Case(NamedTuple):
    """A network with one layer of heads for each string, and the clips that it gets: "b t h w"."""

    processes: int
    layers: tuple[str, ...]
    clips: tuple[int, int, int, int]
    backend: str = "folded"


CASES = {
    "dense": Case(3, (DENSE, DENSE), (1, 9, 10, 14)),
    "dense on two": Case(2, (DENSE, DENSE), (1, 9, 10, 14)),
    "routed, a batch": Case(3, ("WGFGFWSN", "RFFGWNGS"), (2, 5, 11, 14)),
    "routed on two": Case(2, ("WGFGFWSN", "RFFGWNGS"), (2, 5, 11, 14)),
    "masked": Case(3, ("WGFGFWSN", "RFFGWNGS"), (1, 5, 6, 10), "masked"),
    "a head each": Case(3, ("WGF", "FFG"), (1, 6, 7, 9)),
    "no token for the last": Case(3, ("GF" * 4, "WN" * 4), (1, 1, 4, 4)),
    "one token": Case(3, (DENSE, "WGFGFWSN"), (1, 1, 2, 2)),
}
COUNTED = "routed, a batch"


def network(case: Case) -> Oasis:
    model = little.network(layers=len(case.layers), heads=len(case.layers[0])).requires_grad_(False)
    route(model, RoutingTable(model="little", weights_sha256="", patterns=PATTERNS, layers=case.layers), None)
    model.dit.backend = case.backend
    return model


def clips(case: Case) -> Tensor:
    b, t, h, w = case.clips
    lq = torch.rand(b, 3, t, h, w, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return pad_clip(lq, 4, (1, 1, 1)).clip


def message(model: Oasis, lq: Tensor, **options: Any) -> str:
    with pytest.raises(ValueError) as error:
        model.latents(lq, **options)
    return str(error.value)


def work(rank: int, folder: Path) -> None:
    """Run every case on its group of processes, and save what comes out here."""
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=3, timeout=timedelta(seconds=60)
    )
    groups = {3: dist.group.WORLD, 2: dist.new_group([0, 1])}
    found: dict[str, Any] = {}
    sent: list[int] = []
    exchange = dist.all_to_all_single

    def counted(received: Tensor, given: Tensor, *, input_split_sizes: list[int], **options: Any) -> Any:
        sent.append(given.element_size() * (given.numel() - input_split_sizes[rank]))
        return exchange(received, given, input_split_sizes=input_split_sizes, **options)

    for name, case in CASES.items():
        if rank < case.processes:
            dist.all_to_all_single, sent = counted, []
            model, lq = context.spread(network(case), groups[case.processes]), clips(case)
            found[name] = model.latents(lq), model.double().latents(lq.double())
            found[f"{name}: bytes"] = sent[: len(sent) // 2]
    dense = CASES["dense"]
    model = context.spread(network(dense), dist.group.WORLD)
    found["clip"] = model(clips(dense))
    found["probe"] = message(model, clips(dense), probe=lambda *_: None)
    found["gradient"] = message(model.requires_grad_(True), clips(dense))
    model.requires_grad_(False).dit.head.requires_grad_(True)
    found["gradient of the head"] = message(model, clips(dense))
    torch.save(found, folder / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of three processes got."""
    folder = tmp_path_factory.mktemp("context")
    torch.multiprocessing.spawn(work, (folder,), nprocs=3)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(3)]


@pytest.mark.parametrize("name", CASES)
def test_processes_find_what_one_finds(name: str, found: list[dict[str, Any]]) -> None:
    case = CASES[name]
    lq = clips(case)
    single, double = network(case).latents(lq), network(case).double().latents(lq.double())
    # The rounding of this very network: other sums of float32 may be as far off again, those of float64 2^29 times less.
    noise = (single - double).abs().max().item()
    for ours in found[: case.processes]:
        spread, spread_double = ours[name]
        print(name, noise, (spread-double).abs().max().item()/noise, (spread_double-double).abs().max().item()/noise*2**29)
        torch.testing.assert_close(spread.double(), double, rtol=0, atol=2 * noise)
        torch.testing.assert_close(spread_double, double, rtol=0, atol=2 * noise * 2.0**-29)
        assert torch.equal(spread, found[0][name][0]), "processes disagree"
