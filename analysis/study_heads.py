"""Ask everything about the heads of one model and write one linked report. The same as `oasis study`."""

import sys

from oasis.cli import main

if __name__ == "__main__":
    sys.exit(main(["study", *sys.argv[1:]]))
