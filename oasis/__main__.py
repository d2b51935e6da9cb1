"""`python -m oasis` is the `oasis` command."""

import sys

from oasis.cli import main

if __name__ == "__main__":
    sys.exit(main())
