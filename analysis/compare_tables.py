"""Compare head statistics: `python analysis/compare_tables.py [NAME=]HEADS_CSV ... --out FOLDER`.

Writes intervals over clips, what changes between tables, figures and index.html. The same as `oasis stability`.
"""

import sys

from oasis.cli import main

if __name__ == "__main__":
    sys.exit(main(["stability", *sys.argv[1:]]))
