"""Seconds of every pattern at the grid of a run, against each other in interleaved rounds."""

from pathlib import Path

import torch

from oasis.attention import attend
from oasis.causality.measured import Request
from oasis.grid import Grid
from oasis.heads import read_heads
from oasis.routing import GLOBAL, parse_pattern
from oasis.timing import machine, measure
from oasis.timing.found import Found, Setting
from oasis.timing.rounds import Until

UNTIL = Until(spread=0.05, seconds=10.0)


def write(request: Request, heads_csv: Path, path: Path) -> None:
    """Time one layer whose heads all have one pattern, for each pattern of heads.csv, and write timing rows.

    Queries, keys and values are random: attention takes as long for them as for any. The fingerprint's `heads` says how many
    heads share the seconds of a row.
    """
    heads = read_heads(heads_csv)
    grid = Grid(*(int(heads[axis].iloc[0]) for axis in ("T", "H", "W")))
    sizes = request.load().model.config.dit
    generator = torch.Generator().manual_seed(0)
    shape = (1, sizes.heads, grid.tokens, sizes.head_dim)
    q, k, v = (torch.randn(shape, generator=generator).to(request.device) for _ in range(3))
    patterns = [GLOBAL, *(parse_pattern(name) for name in sorted(set(heads["pattern"])))]
    calls = {
        pattern.name: lambda pattern=pattern: attend(q, k, v, (pattern,) * sizes.heads, grid, backend=request.backend)
        for pattern in patterns
    }
    found = Found(
        setting=Setting(device=request.device, rounds=UNTIL), about={"heads": sizes.heads, "head_dim": sizes.head_dim}
    )
    with torch.inference_mode():
        found.before = machine.state(request.device, calls[GLOBAL.name])
        timed = measure(calls, UNTIL, device=request.device)
        found.after = machine.state(request.device, calls[GLOBAL.name])
    for name, each in timed.items():
        found.add(
            each,
            subject=name,
            what="attention",
            phase="total",
            case=str(grid),
            backend=request.backend,
            baseline=GLOBAL.name,
            peak_mib=None,
            frames=0,
        )
    found.write(path)
