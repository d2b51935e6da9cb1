"""OASIS: one-step video super-resolution with specialised attention heads, and tools that measure their redundancy."""

__version__ = "0.1.0"
