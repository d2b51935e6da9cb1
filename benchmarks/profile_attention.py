"""Profile routed attention and the probe against dense attention, as ratios within one run, and the probe's memory."""

import argparse
import csv
import platform
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from oasis.attention import attend
from oasis.attention.lse import attention_lse, expectations, pattern_lse
from oasis.cost import layer_flops
from oasis.files import replacing
from oasis.grid import Grid
from oasis.routing import FRAME, GLOBAL, window
from oasis.timing import measure

GRID, HEADS, D = Grid(5, 24, 40), 12, 64
ROUTED = [GLOBAL] * 4 + [FRAME] * 4 + [window(8, 8)] * 4
MEMORY_GRIDS = (Grid(4, 16, 32), Grid(4, 32, 32), Grid(4, 32, 64), Grid(4, 64, 64))


def candidates(grid: Grid, heads: int, device: str) -> dict[str, Callable[[], object]]:
    """Dense attention first, then what is measured against it."""
    q, k, v = (torch.randn(1, heads, grid.tokens, D, device=device) for _ in range(3))
    lse = attention_lse(q, k, v).lse

    def log_sum_exps() -> object:
        return [pattern_lse(q, k, v, pattern, grid) for pattern in (FRAME, window(8, 8))]

    return {
        "dense": lambda: torch.nn.functional.scaled_dot_product_attention(q, k, v),
        "routed_third_each": lambda: attend(q, k, v, ROUTED[:heads], grid),
        "probe_log_sum_exps": log_sum_exps,
        "probe_all_statistics": lambda: (log_sum_exps(), expectations(q, k, lse, grid)),
    }


def probe_peak(grid: Grid) -> float:
    """MiB that the probe of four heads adds to this process's resident memory at its highest (Linux)."""
    candidates(MEMORY_GRIDS[0], 4, "cpu")["probe_all_statistics"]()
    run = candidates(grid, 4, "cpu")["probe_all_statistics"]
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the highest so far
    peaks = []
    for step in (lambda: None, run):
        step()
        peaks.append(int(re.findall(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))[0]))
    return (peaks[1] - peaks[0]) / 1024


def processor(device: str) -> str:
    """Name the hardware behind a device."""
    if device != "cpu":
        return torch.cuda.get_device_name(device)
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    return found[1] if found else platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--csv", type=Path, help="write the rows to this file, too")
    parser.add_argument("--memory-of", type=int, help=argparse.SUPPRESS)  # each peak needs a fresh process
    options = parser.parse_args()
    torch.manual_seed(0)
    if options.memory_of is not None:
        return print(probe_peak(MEMORY_GRIDS[options.memory_of]))
    rows: list[tuple[str, int, str, float]] = []
    for name, found in measure(candidates(GRID, HEADS, options.device), options.rounds, device=options.device).items():
        rows += [(name, GRID.tokens, "s_p50", found.p50), (name, GRID.tokens, "ratio_to_dense", found.ratio)]
    bound = layer_flops(ROUTED, GRID, D) / layer_flops([GLOBAL] * HEADS, GRID, D)
    rows.append(("routed_third_each", GRID.tokens, "ratio_of_flops", bound))
    for index, grid in enumerate(MEMORY_GRIDS):
        peak = subprocess.check_output([sys.executable, __file__, "--memory-of", str(index)], text=True)
        rows.append(("probe_all_statistics", grid.tokens, "peak_MiB_4_heads", float(peak)))
    print(*("{:22} {:6} tokens  {:17} {:10.4f}".format(*row) for row in rows), sep="\n")
    if options.csv:
        with replacing(options.csv) as path, open(path, "w", newline="", encoding="utf-8") as file:
            where = (processor(options.device), torch.get_num_threads(), torch.__version__, platform.python_version())
            header = ("candidate", "tokens", "measure", "value", "processor", "threads", "torch", "python")
            csv.writer(file, lineterminator="\n").writerows([header, *((*row, *where) for row in rows)])


if __name__ == "__main__":
    main()
