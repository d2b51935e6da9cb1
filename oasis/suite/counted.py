"""What our networks cost, counted from shapes: the one that runs, and the full-size one that has no trained weights."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from oasis import __version__, cost, costs
from oasis.configs import WAN_1_3B, OasisConfig
from oasis.costs import Cost
from oasis.suite.routings import Routed
from oasis.suite.timed import FULL_SIZE
from oasis.tiling import Tiling
from oasis.timing.routings import THIRDS, table


def write(config: OasisConfig, routed: Sequence[Routed], size: tuple[int, int, int], path: Path) -> None:
    """Write costs of `config`, dense and routed, on one clip; and of the full size, dense and with equal shares of patterns."""
    full = {"dense": None, THIRDS: table(THIRDS, WAN_1_3B.name, WAN_1_3B.dit.layers, WAN_1_3B.dit.heads)}
    rows: list[Cost] = []
    for name, each in {"dense": None, **{one.name: one.table for one in routed}}.items():
        operations = cost.clip_operations(config, size, Tiling(), each)
        rows += _brief(cost.costs(operations, subject=f"{config.name}-{name}", case=_case(size), itemsize=4))
    for name, each in full.items():
        operations = cost.operations(WAN_1_3B, FULL_SIZE, each)
        rows += _brief(cost.costs(operations, subject=f"random-wan-1.3b {name}", case=_case(FULL_SIZE), itemsize=2))
    said = {config.name: "fp32, in tiles as it ran", "random-wan-1.3b": "bf16, one call of the network, not run"}
    costs.write(path, rows, {"oasis": __version__, "backend": "folded", "kernel_tile": None, "counted": said})


def _brief(rows: Sequence[Cost]) -> Iterator[Cost]:
    """Leave out single layers, and convolutions within a part of the decoder."""
    return (row for row in rows if row.layer < 0 and (row.phase == "dit" or ": " not in row.part))


def _case(size: tuple[int, int, int]) -> str:
    return "x".join(map(str, size))
