from pathlib import Path

import pytest
import torch

from oasis.timing import cache, machine
from oasis.timing.kernels import kernel_names
from oasis.timing.machine import State, throttled
from oasis.timing.memory import peak_mib

MIB = 2**18  # float32 numbers


def test_the_last_cache_is_the_largest_and_a_buffer_several_times_its_size_is_written(tmp_path: Path) -> None:
    for number, size in enumerate(["32K", "512K", "2M"]):
        (tmp_path / f"index{number}").mkdir()
        (tmp_path / f"index{number}" / "size").write_text(f"{size}\n")
    assert cache.last_level_bytes("cpu", tmp_path) == 2 * 2**20
    with pytest.raises(ValueError, match="allowed: warm"):
        cache.last_level_bytes("cpu", tmp_path / "none")


def test_a_flush_writes_every_byte_of_its_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "last_level_bytes", lambda device: 4096)
    buffers = []
    zeros = torch.zeros
    monkeypatch.setattr(torch, "zeros", lambda *args, **kwargs: buffers.append(zeros(*args, **kwargs)) or buffers[0])
    write = cache.flush("cpu")
    write()
    write()
    assert buffers[0].nbytes == cache.TIMES * 4096 and bool((buffers[0] == 2).all())


def test_throttling_is_seen_not_seen_or_unknown() -> None:
    states = [State(clocks_mhz=1.0, slowdowns=slowdowns) for slowdowns in (3, 3, 4, None)]
    assert throttled(states[0], states[1]) is False
    assert throttled(states[1], states[2]) is True
    assert throttled(states[2], states[3]) is None


def test_the_fingerprint_says_what_the_machine_is() -> None:
    now = machine.state("cpu", lambda: None)
    found = machine.fingerprint("cpu", now, now, {"dense": ["kernel"]}, 0.000123456)
    assert found["torch"] == torch.__version__ and found["threads"] == torch.get_num_threads()
    assert found["harness_overhead"] == 0.00012 and found["kernels"] == {"dense": ["kernel"]}
    assert found["memory_gib"] > 0 and found["processor"] and found["clocks_mhz"] == [now.clocks_mhz] * 2


def allocating(mib: int) -> object:
    kept = torch.ones(16 * MIB)  # what is there before the call does not count
    return lambda: torch.ones(mib * MIB).sum() + kept[0]


@pytest.mark.parametrize("mib", [64, 256])
def test_peak_memory_is_what_a_call_adds(mib: int) -> None:
    assert peak_mib(allocating, mib) == pytest.approx(mib, abs=24)  # libraries and threads start with the first call


def test_the_kernels_of_attention_are_named() -> None:
    q, k, v = torch.randn(3, 1, 4, 256, 32)
    assert any("attention" in name for name in kernel_names(lambda: torch.nn.functional.scaled_dot_product_attention(q, k, v)))
    assert all("attention" not in name for name in kernel_names(lambda: q @ k.mT))
