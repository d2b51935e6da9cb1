"""One measure under one protocol, as data."""

from dataclasses import dataclass
from typing import Literal

Better = Literal["higher", "lower", "zero", "one"]
Needs = Literal["reference", "nothing", "true flow"]
OURS = "Apache-2.0"
PYIQA = "PolyForm-Noncommercial-1.0.0"


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One measure under one protocol.

    `better` is where good values lie ("zero" and "one": the closer the better); `needs` is what it needs beside the
    output; `weights` are names of `oasis.weights.WEIGHTS`; `licence` is that of the code and weights that it runs;
    `version` rises whenever equal input would give another number; `source` says where the protocol comes from.
    """

    name: str
    unit: str
    better: Better
    needs: Needs
    what: str
    source: str
    licence: str = OURS
    weights: tuple[str, ...] = ()
    digits: int = 4
    version: int = 1
