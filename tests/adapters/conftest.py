"""Pipelines written once for all tests of the adapters."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from little_pipelines import pipeline


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function from a kind to a pipeline's folder, which no test may change."""
    root = tmp_path_factory.mktemp("pipelines")

    def find(kind: str) -> Path:
        return root / kind if (root / kind).is_dir() else pipeline(root / kind, kind)

    return find


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let diffusers work in float64 throughout: its norms and modulations ask for float32 by `.float()`."""
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
