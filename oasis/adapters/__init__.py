"""Other people's models: diffusers' Wan and CogVideoX transformers, measured and routed head by head.

A processor of ours stands on every self-attention layer. It computes queries, keys and values as diffusers does, shows them to
a probe, and attends densely or by the pattern of each head. Every forward is checked: each layer must have run once.
"""

from oasis.adapters.attention import Heads
from oasis.adapters.families import FAMILIES, family_of
from oasis.adapters.family import Family
from oasis.adapters.loading import PREFIX, Asked, load
from oasis.adapters.routed import route, unroute
from oasis.adapters.watching import watching

__all__ = ["FAMILIES", "PREFIX", "Asked", "Family", "Heads", "family_of", "load", "route", "unroute", "watching"]
