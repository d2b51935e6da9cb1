"""Put heads under patterns and measure the harm: `python analysis/ablate_heads.py WORK [--model NAME|DIR] [--clips N]`.

Writes harms.csv, correlations, figures and index.html into WORK/harm. The same as `oasis harm`.
"""

import sys

from oasis.cli import main

if __name__ == "__main__":
    sys.exit(main(["harm", *sys.argv[1:]]))
