"""Stability: are the statistics of heads, and the routing that follows, the same on other clips, data, sizes and weights?

`tables` reads, `compared`, `enough` and `transfer` ask, `chapter` writes the answers.
"""

from oasis.stability.chapter import write

__all__ = ["write"]
