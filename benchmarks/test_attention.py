"""The candidates of profile_attention.py under pytest-benchmark: numbers to compare, nothing asserted on time."""

import profile_attention
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

NAMES = ["dense", "routed_third_each", "probe_log_sum_exps", "probe_all_statistics"]


@pytest.mark.parametrize("name", NAMES)
def test_attention(benchmark: BenchmarkFixture, name: str) -> None:
    torch.manual_seed(0)
    run = profile_attention.candidates(profile_attention.GRID, profile_attention.HEADS, "cpu")[name]
    benchmark.pedantic(run, rounds=5, warmup_rounds=1)
