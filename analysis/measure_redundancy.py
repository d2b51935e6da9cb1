"""Measure what else is redundant: heads and layers that are alike, layers left out, the prompt, tokens that repeat.

The same as `oasis redundancy`.
"""

import sys

from oasis.cli import main

if __name__ == "__main__":
    sys.exit(main(["redundancy", *sys.argv[1:]]))
