"""Published weights into other people's networks: strictly, without pickle, without a download and without random leftovers."""

import contextlib
import sys
import textwrap
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import packaging.version
import torch
from torch import Tensor, nn


def load(path: Path) -> Any:
    """Read a file of tensors; nothing in it is executed."""
    return torch.load(path, map_location="cpu", weights_only=True)


def fill(network: nn.Module, state: dict[str, Tensor]) -> nn.Module:
    """Give a network all of its tensors, none missing and none left over, as float32; return it ready to measure."""
    named = {name.removeprefix("module."): value for name, value in state.items()}  # some were saved from DataParallel
    network.load_state_dict(named, strict=True, assign=True)
    return network.float().eval().requires_grad_(False)


@contextlib.contextmanager
def readable(path: Path, what: str) -> Iterator[None]:
    """Turn whatever reading a file raises into a ValueError that names it."""
    try:
        yield
    except Exception as error:
        raise ValueError(f"{path}: not the weights of {what} ({textwrap.shorten(str(error), 300)})") from error


@contextlib.contextmanager
def empty_trunks() -> Iterator[None]:
    """Build networks whose constructors would download a trunk: it comes without storage, so that it must be filled.

    The random numbers that constructors draw are not taken from the process's stream.
    """
    import timm
    from torchvision import models

    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=[]))
        for module, name in ((models, "alexnet"), (models, "vgg16"), (timm, "create_model")):
            stack.enter_context(mock.patch.object(module, name, _empty(getattr(module, name))))
        yield


def _empty(build: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    def built(*architecture: str, **_: object) -> nn.Module:
        with torch.device("meta"):
            return build(*architecture)

    return built


@contextlib.contextmanager
def clip_importable() -> Iterator[None]:
    """Let openai-clip 1.0.1 be imported: it wants `packaging` out of pkg_resources, which setuptools no longer has."""
    before = sys.modules.get("pkg_resources")
    stand_in = types.ModuleType("pkg_resources")
    stand_in.packaging = packaging  # type: ignore[attr-defined]
    sys.modules["pkg_resources"] = stand_in
    try:
        yield
    finally:
        del sys.modules["pkg_resources"]
        if before is not None:
            sys.modules["pkg_resources"] = before
