"""What else is redundant: heads and layers that are alike, layers that can be skipped, tokens that repeat, constants."""
