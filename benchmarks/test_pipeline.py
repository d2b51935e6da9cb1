"""Files into files under pytest-benchmark: numbers to keep and compare, nothing asserted on time."""

from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from oasis.timing.model import Network
from oasis.timing.pipeline import builtin_clip, pipeline
from oasis.timing.routings import THIRDS
from oasis.upscale import Tiling


@pytest.mark.parametrize("routing", [None, THIRDS])
def test_pipeline(benchmark: BenchmarkFixture, routing: str | None, tmp_path: Path) -> None:
    run = pipeline(Network(model="tiny", routing=routing), builtin_clip(tmp_path), tmp_path / "out.mp4", Tiling())
    benchmark.pedantic(run, rounds=3, warmup_rounds=1)
