"""Draw a run's plots and page again from its files: `python analysis/plot_heads.py RUN_DIR`. The same as `oasis plot`."""

import sys

from oasis.cli import main

if __name__ == "__main__":
    sys.exit(main(["plot", *sys.argv[1:]]))
