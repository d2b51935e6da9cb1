"""The three kinds of value, told apart by word, shape and colour wherever they are shown."""

from typing import NamedTuple


class Kind(NamedTuple):
    """A kind of value: its name in rows, its class in style sheets, its shape, and what it means."""

    name: str
    key: str
    shape: str
    marker: str  # of matplotlib
    meaning: str


MEASURED = Kind("measured here", "here", "●", "o", "scored by this project from the output files")
OTHERS = Kind("measured by others", "others", "◆", "D", "a contributed score file, checked in form, not scored again")
REPORTED = Kind("reported", "reported", "□", "s", "printed in a paper or on a project's page; never averaged or ranked here")
KINDS = {kind.name: kind for kind in (MEASURED, OTHERS, REPORTED)}
