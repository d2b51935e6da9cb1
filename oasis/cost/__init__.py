"""What the network costs, counted from shapes: pairs, FLOPs, parameters and bytes; no tensors, no torch."""

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

__all__ = [
    "Axis",
    "attended_pairs",
    "attention_flops",
    "axes",
    "keys_mean",
    "layer_flops",
    "routing_flops",
    "routing_ratio",
    "uniform_kl",
]
