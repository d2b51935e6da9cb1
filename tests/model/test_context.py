"""A clip on three processes and on two of them against one process, and how heads and tokens are shared among them."""

import itertools
import multiprocessing
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import little
import pytest
import torch
import torch.distributed as dist
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import grids, patterns
from torch import Tensor

from oasis import probe
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


def network(case: Case) -> Oasis:
    model = little.network(layers=len(case.layers), heads=len(case.layers[0])).requires_grad_(False)
    route(model, RoutingTable(model="little", weights_sha256="", patterns=PATTERNS, layers=case.layers), None)
    model.dit.backend = case.backend
    return model


def clips(case: Case) -> Tensor:
    b, t, h, w = case.clips
    lq = torch.rand(b, 3, t, h, w, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return pad_clip(lq, 4, (1, 1, 1)).clip


def refusal(function: Callable[..., Any], *arguments: Any, **options: Any) -> str:
    with pytest.raises(ValueError) as error:
        function(*arguments, **options)
    return str(error.value)


def work(rank: int, folder: Path) -> None:
    """Run every case on its group of processes, and save what this one gets and sends."""
    torch.set_num_threads(1)
    meeting, wait = f"file://{folder}/meeting", timedelta(seconds=60)
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=3, timeout=wait)
    groups = {3: dist.group.WORLD, 2: dist.new_group([0, 1])}
    results: dict[str, Any] = {}

    sent: list[int] = []
    exchange = dist.all_to_all_single

    def counted(received: Tensor, given: Tensor, *, input_split_sizes: list[int], **options: Any) -> None:
        sent.append(given.element_size() * (given.numel() - input_split_sizes[rank]))
        exchange(received, given, input_split_sizes=input_split_sizes, **options)

    dist.all_to_all_single = counted
    for name, case in CASES.items():
        if rank < case.processes:
            sent.clear()
            model, lq = context.spread(network(case), groups[case.processes]), clips(case)
            results[name] = {"single": model.latents(lq), "sent": sum(sent), "double": model.double().latents(lq.double())}

    lq = clips(CASES["dense"])
    model = context.spread(network(CASES["dense"]), groups[3])
    results["clip"] = model(lq)
    results["probe"] = refusal(model.latents, lq, probe=lambda *_: None)
    results["two heads"] = refusal(context.spread, little.network(heads=2), groups[3])
    model.dit.head.requires_grad_(True)
    results["gradient of the head"] = refusal(model, lq)
    model.requires_grad_(True)
    results["gradient"] = refusal(model, lq)
    with torch.no_grad():
        model(lq)
    torch.save(results, folder / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of three processes got."""
    folder = tmp_path_factory.mktemp("context")
    multiprocessing.get_context("forkserver").set_forkserver_preload(["oasis.model.oasis", "oasis.probe"])
    torch.multiprocessing.start_processes(work, (folder,), nprocs=3, start_method="forkserver")
    return [torch.load(folder / f"{rank}.pt") for rank in range(3)]


@pytest.mark.parametrize("name", CASES)
def test_processes_find_what_one_finds(name: str, results: list[dict[str, Any]]) -> None:
    case = CASES[name]
    lq = clips(case)
    single, double = network(case).latents(lq), network(case).double().latents(lq.double())
    # How far float32 puts this network off, twice for the sake of clips of few values; float64 puts it off 2^29 times less.
    rounding = 2 * (single - double).abs().max().item()
    for found in results[: case.processes]:
        torch.testing.assert_close(found[name]["single"].double(), double, rtol=0, atol=2 * rounding)
        torch.testing.assert_close(found[name]["double"], double, rtol=0, atol=2 * rounding * 2.0**-29)
        assert torch.equal(found[name]["single"], results[0][name]["single"])


@pytest.mark.parametrize("name", CASES)
def test_bytes_sent_are_those_counted(name: str, results: list[dict[str, Any]]) -> None:
    case = CASES[name]
    dit, grid = network(case).dit, probe.token_grid(network(case), clips(case))
    head_bytes = case.clips[0] * dit.config.head_dim * 4
    dealt = [context.deal(patterns, grid, case.processes, case.backend) for patterns in dit.patterns]
    expected = [context.bytes_sent(heads, grid, head_bytes) for heads in dealt]
    assert [found[name]["sent"] for found in results[: case.processes]] == [sum(sent) for sent in zip(*expected, strict=True)]


def test_the_whole_network_runs_on_every_process(results: list[dict[str, Any]]) -> None:
    lq = clips(CASES["dense"])
    single, double = network(CASES["dense"])(lq), network(CASES["dense"]).double()(lq.double())
    for found in results:
        torch.testing.assert_close(found["clip"].double(), double, rtol=0, atol=2 * (single - double).abs().max().item())


def test_what_processes_cannot_share_is_refused(results: list[dict[str, Any]]) -> None:
    for found in results:
        assert "a probe needs all tokens of a clip on one process" in found["probe"]
        assert "'little' has 2 heads" in found["two heads"] and "at most 2 processes, got 3" in found["two heads"]
        assert "gradients do not pass between processes" in found["gradient"]
        assert found["gradient of the head"] == found["gradient"]


def cost(heads: Sequence[int], chosen: Sequence[Pattern], grid: Grid) -> int:
    return sum(executed_pairs(chosen[head], grid, "folded") for head in heads)


@settings(max_examples=40)
@given(st.lists(patterns, min_size=1, max_size=5), grids, st.integers(1, 3))
def test_heads_are_dealt_once_in_order_and_evenly(chosen: list[Pattern], grid: Grid, processes: int) -> None:
    dealt = context.deal(tuple(chosen), grid, processes, "folded")
    assert len(dealt) == processes and sorted(itertools.chain(*dealt)) == list(range(len(chosen)))
    assert all(list(heads) == sorted(heads) for heads in dealt)
    assert all(dealt) or len(chosen) < processes
    longest = max(cost(heads, chosen, grid) for heads in dealt)
    shortest = min(
        max(cost([h for h, at in enumerate(places) if at == process], chosen, grid) for process in range(processes))
        for places in itertools.product(range(processes), repeat=len(chosen))
    )
    assert 3 * processes * longest <= (4 * processes - 1) * shortest


def test_heads_of_equal_cost_are_dealt_like_cards_and_dear_ones_stand_alone() -> None:
    grid = Grid(5, 8, 8)
    assert context.deal((GLOBAL,) * 8, grid, 3, "folded") == ((0, 3, 6), (1, 4, 7), (2, 5))
    mixed = (FRAME,) * 2 + (GLOBAL,) * 2 + (window(4, 4),) * 2
    # A frame head has 1/5 of a global head's pairs, a window head 1/4.
    assert context.deal(mixed, grid, 3, "folded") == ((2,), (3,), (0, 1, 4, 5))
    assert context.deal(mixed, grid, 3, "masked") == ((0, 3), (1, 4), (2, 5))


@given(st.integers(1, 500), st.integers(1, 9))
def test_shares_are_the_tokens_and_all_but_the_last_are_equal(tokens: int, processes: int) -> None:
    lengths = context.shares(tokens, processes)
    assert len(lengths) == processes and sum(lengths) == tokens and min(lengths) >= 0
    # What `Share.gather` relies on: behind a short share there are no more tokens.
    assert max(lengths) == lengths[0] == -(-tokens // processes)
    assert all(later == 0 for here, later in itertools.pairwise(lengths) if here < lengths[0])


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 5))
def test_even_shares_send_four_tokens_of_every_head_to_others(processes: int, heads: int, tokens: int) -> None:
    grid = Grid(1, tokens, processes)
    dealt = context.deal((GLOBAL,) * (heads * processes), grid, processes, "folded")
    sent = context.bytes_sent(dealt, grid, 6)
    assert len(set(sent)) == 1 and processes * sum(sent) == 4 * (processes - 1) * grid.tokens * heads * processes * 6
