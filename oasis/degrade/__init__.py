"""From a clean clip to a degraded one: operations (`ops`) and the recipe that names their strengths (`recipe`)."""

from oasis.degrade.recipe import Recipe, apply, draw

__all__ = ["Recipe", "apply", "draw"]
