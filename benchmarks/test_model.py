"""Networks under pytest-benchmark: numbers to keep and compare, nothing asserted on time."""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from oasis.timing.model import Network, forward
from oasis.timing.routings import THIRDS

CLIP = (17, 48, 80)


@pytest.mark.parametrize("routing", [None, "frame", THIRDS])
def test_model(benchmark: BenchmarkFixture, routing: str | None) -> None:
    benchmark.pedantic(forward(Network(model="tiny", routing=routing), CLIP), rounds=5, warmup_rounds=1)
