"""Fixtures that every test may use."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Callable[[str], Path]:
    """Return a function from a name below the shared data to its path.

    The folder is `$OASIS_TEST_DATA`, or `shared` beside the checkout. Without it the test is skipped; a part that is
    missing from it fails the test.
    """
    root = Path(os.environ.get("OASIS_TEST_DATA", Path(__file__).parents[2] / "shared"))

    def find(name: str) -> Path:
        if not root.is_dir():
            pytest.skip(f"no shared test data at {root}; set OASIS_TEST_DATA")
        path = root / name
        assert path.exists(), f"{path} is missing from the shared test data"
        return path

    return find
