import contextlib
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from oasis.sections import listening, section, unheard


class Log:
    def __init__(self) -> None:
        self.events: list[str] = []

    @contextlib.contextmanager
    def section(self, name: str) -> Iterator[None]:
        self.events.append(f"+{name}")
        yield
        self.events.append(f"-{name}")


def doubled(x: Tensor) -> Tensor:
    with section("outer"):
        with section("inner"):
            y = x * 2
        return y


def test_who_listens_hears_beginnings_and_ends_and_nobody_else_does() -> None:
    log = Log()
    doubled(torch.ones(1))
    with listening(log):
        doubled(torch.ones(1))
    doubled(torch.ones(1))
    assert log.events == ["+outer", "+inner", "-inner", "-outer"]


def test_nobody_hears_what_runs_unheard() -> None:
    log = Log()
    with listening(log), section("heard"):
        with contextlib.suppress(KeyError), unheard():
            doubled(torch.ones(1))
            raise KeyError
        with section("again"):
            pass
    assert log.events == ["+heard", "+again", "-again", "-heard"]


def test_only_one_may_listen_and_an_error_ends_it() -> None:
    with listening(Log()), pytest.raises(ValueError, match="recorded already"), listening(Log()):
        pass
    with pytest.raises(KeyError), listening(Log()):
        raise KeyError
    with listening(Log()):
        pass


def test_sections_stand_in_code_that_is_compiled_as_one_graph() -> None:
    compiled = torch.compile(doubled, fullgraph=True, backend="eager")
    assert torch.equal(compiled(torch.ones(3)), torch.full((3,), 2.0))
