"""A bench under way: what was asked, which network that is, and where things lie."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from oasis.model import Loaded
from oasis.suite.settings import Settings

DENSE = "dense"


@dataclass
class Bench:
    """`out` receives results, `work` all else; `took` has the seconds of each step."""

    settings: Settings
    loaded: Loaded
    out: Path
    work: Path
    took: dict[str, float] = field(default_factory=dict)

    @property
    def model(self) -> str:
        """The name of the network, which its variants begin with."""
        return self.loaded.model.config.name

    @property
    def dense(self) -> str:
        """What rows call the dense network."""
        return self.variant(DENSE)

    def variant(self, name: str) -> str:
        """Return what rows call a variant of the network."""
        return f"{self.model}-{name}"

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Say that a step begins, and note how long it took."""
        tqdm.write(f"bench: {name}")
        start = time.monotonic()
        yield
        self.took[name] = time.monotonic() - start
