"""A table that grows file by file, its texts kept as numbers: what keeps a million rows small."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray


class Columns:
    """Columns of texts and of numbers, filled in parts of equal length."""

    def __init__(self, texts: Sequence[str], numbers: Sequence[str]) -> None:
        self.seen: dict[str, dict[str, int]] = {name: {} for name in texts}
        self.codes: dict[str, list[NDArray[np.int32]]] = {name: [] for name in texts}
        self.numbers: dict[str, list[NDArray]] = {name: [] for name in numbers}

    def add(self, texts: Mapping[str, Sequence[str]], numbers: Mapping[str, NDArray]) -> None:
        """Add rows: every column of texts and of numbers, all of one length."""
        for name, seen in self.seen.items():
            codes = [seen.setdefault(text, len(seen)) for text in texts[name]]
            self.codes[name].append(np.array(codes, dtype=np.int32))
        for name, parts in self.numbers.items():
            parts.append(numbers[name])

    def frame(self, by: Sequence[str]) -> pd.DataFrame:
        """Return all rows sorted by columns of texts, rows with equal texts by the order in which they were added.

        Texts become categories in their order, so that neither depends on the order of the rows.
        """
        columns: dict[str, pd.Categorical | NDArray] = {}
        for name, seen in self.seen.items():
            order = sorted(seen)
            rank = np.empty(len(order), dtype=np.int32)
            rank[[seen[text] for text in order]] = np.arange(len(order), dtype=np.int32)
            codes = np.concatenate(self.codes[name]) if self.codes[name] else np.empty(0, dtype=np.int32)
            columns[name] = pd.Categorical.from_codes(rank[codes], categories=pd.Index(order, dtype="str"))
        for name, parts in self.numbers.items():
            columns[name] = np.concatenate(parts) if parts else np.empty(0)
        frame = pd.DataFrame(columns, copy=False)
        keys = [frame[name].cat.codes.to_numpy() for name in reversed(by)]
        return frame.iloc[np.lexsort(keys)].reset_index(drop=True)
