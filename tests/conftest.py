"""Fixtures that every test may use, and how property tests draw their examples."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The same examples every time, however busy the machine; `--hypothesis-profile=search` draws new ones.
settings.register_profile("search", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("steady", settings.get_profile("search"), derandomize=True, database=None)
settings.load_profile("steady")


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
