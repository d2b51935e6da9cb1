"""Attention of the built-in sizes under pytest-benchmark: numbers to keep and compare, nothing asserted on time."""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from oasis.attention.sdpa import PLAIN
from oasis.grid import Grid
from oasis.timing.attention import DENSE, PROBES, Case, candidate
from oasis.timing.routings import THIRDS, shares

CASE = Case(grid=Grid(5, 24, 40), heads=12, d=64, device="cpu", dtype="float32", dense=PLAIN)


@pytest.mark.parametrize("name", [DENSE, "routed", *PROBES])
def test_attention(benchmark: BenchmarkFixture, name: str) -> None:
    benchmark.pedantic(candidate(CASE, name, "folded", shares(THIRDS, CASE.heads)), rounds=5, warmup_rounds=1)
