"""Decide again from head statistics: `python analysis/route_heads.py runs/x/heads.csv --rule budget:ratio=0.35`.

Writes routing.json beside HEADS_CSV, or to --out; `--rule all` compares the rules. The same as `oasis route`.
"""

import sys

from oasis.cli import main

if __name__ == "__main__":
    sys.exit(main(["route", *sys.argv[1:]]))
