"""The doctor names everything it looks at and never raises."""

from importlib import metadata

import pytest

from oasis import doctor
from oasis.attention import BACKENDS
from oasis.model import Loaded


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Leave out the compiler, which flex attention would call."""
    true = doctor.attend
    monkeypatch.setattr(doctor, "attend", lambda *tensors, backend: true(*tensors, backend="masked"))


def line(lines, *words):
    found = [text for text in lines if text.split()[: len(words)] == list(words)]
    assert len(found) == 1, (words, lines)
    return found[0]


def test_everything_has_its_line():
    lines = list(doctor.report())
    assert lines[0].startswith("oasis-vsr ") and "Python" in lines[0]
    for name in doctor.PACKAGES:
        assert metadata.version(name) in line(lines, "package", name)
    for backend in BACKENDS:
        assert "works (largest difference to the mask 0.0e+00)" in line(lines, "attention", backend, "on", "cpu")
    for codec in doctor.CODECS:
        assert line(lines, "codec", codec).endswith("works")
    assert "threads" in line(lines, "device", "cpu")
    for words in (
        ("device", "cuda"),
        ("tool", "ffmpeg"),
        ("tool", "C++", "compiler"),
        ("model", "tiny"),
        ("optional", "triton"),
    ):
        line(lines, *words)


def test_a_missing_package_is_told(monkeypatch):
    version = metadata.version

    def without(name):
        if name in ("pyiqa", "seaborn"):
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(metadata, "version", without)
    lines = list(doctor.report())
    assert line(lines, "package", "pyiqa").endswith("MISSING") and line(lines, "package", "seaborn").endswith("MISSING")
    assert sum(text.endswith("MISSING") for text in lines) == 2


@pytest.mark.parametrize("message", ["no C++ compiler\nsecond line", "", "x" * 500])
def test_a_backend_that_does_not_run_says_why(monkeypatch, message):
    true = doctor.attend

    def attend(*tensors, backend):
        if backend == "flex":
            raise RuntimeError(message)
        return true(*tensors, backend=backend)

    monkeypatch.setattr(doctor, "attend", attend)
    lines = list(doctor.report())
    told = line(lines, "attention", "flex", "on", "cpu")
    assert told.partition("does not run: ")[2] == f"RuntimeError: {message.splitlines()[0][:120] if message else ''}"
    assert "works" in line(lines, "attention", "folded", "on", "cpu")


@pytest.mark.parametrize(
    ("error", "told"), [(FileNotFoundError("no such file"), "no such file"), (ValueError("cut off"), "cut off")]
)
def test_a_model_that_does_not_load_says_why(monkeypatch, error, told):
    def load_model(name):
        raise error

    monkeypatch.setattr(doctor, "load_model", load_model)
    assert line(list(doctor.report()), "model", "tiny").endswith(f"does not load: {told}")


def test_random_weights_in_place_of_the_model_are_told(monkeypatch):
    monkeypatch.setattr(doctor, "load_model", lambda name: Loaded(None, "ab" * 32, trained=False))
    assert line(list(doctor.report()), "model", "tiny").endswith("loads, UNTRAINED WEIGHTS, sha256 abababababab")


def test_missing_codecs_and_tools_are_told(monkeypatch):
    monkeypatch.setattr(doctor.av, "codecs_available", {"png"})
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    lines = list(doctor.report())
    assert "MISSING" in line(lines, "codec", "libx264") and line(lines, "codec", "png").endswith("works")
    assert "not installed" in line(lines, "tool", "ffmpeg") and "not installed" in line(lines, "tool", "C++", "compiler")
    assert "not installed" in line(lines, "optional", "triton")
