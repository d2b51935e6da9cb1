"""What the network costs, counted from shapes: pairs, FLOPs, parameters and bytes; no tensors, no torch."""

from oasis.cost.executed import BLOCK, EXACT, Backend, Tile, executed_pairs, flex_blocks, folded_calls
from oasis.cost.network import clip_operations, operations
from oasis.cost.operation import Operation, Work, total
from oasis.cost.pairs import (
    Axis,
    attended_pairs,
    attention_flops,
    axes,
    keys_mean,
    layer_flops,
    routing_flops,
    routing_ratio,
    uniform_kl,
)
from oasis.cost.rows import ITEMSIZE, Level, costs, levels, table

__all__ = [
    "BLOCK",
    "EXACT",
    "ITEMSIZE",
    "Axis",
    "Backend",
    "Level",
    "Operation",
    "Tile",
    "Work",
    "attended_pairs",
    "attention_flops",
    "axes",
    "clip_operations",
    "costs",
    "executed_pairs",
    "flex_blocks",
    "folded_calls",
    "keys_mean",
    "layer_flops",
    "levels",
    "operations",
    "routing_flops",
    "routing_ratio",
    "table",
    "total",
    "uniform_kl",
]
