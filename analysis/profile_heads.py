"""Measure every attention head and route it: `python analysis/profile_heads.py [--model NAME|DIR] [--data builtin|CLIP|DIR]`.

Writes heads.csv, routing.json, pictures and index.html into --out (runs/profile-MODEL). The same as `oasis profile`.
`--model diffusers:PATH` measures another's model: the folder of a Wan, VACE or CogVideoX pipeline.
"""

import sys

from oasis.cli import main

if __name__ == "__main__":
    sys.exit(main(["profile", *sys.argv[1:]]))
