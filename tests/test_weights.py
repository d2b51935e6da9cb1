import hashlib
import re
from pathlib import Path

import pytest

from oasis import files, weights
from oasis.measures import MEASURES


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OASIS_WEIGHTS", str(tmp_path))
    return tmp_path


def known(monkeypatch: pytest.MonkeyPatch, sha256: str | None) -> weights.Weight:
    weight = weights.Weight(
        name="toy", file="toy.pth", sha256=sha256, address="https://there/toy.pth", licence="MIT", what="toy"
    )
    monkeypatch.setitem(weights.WEIGHTS, "toy", weight)
    return weight


def test_the_folder_is_the_variable_or_the_cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert weights.folder() == folder
    monkeypatch.setenv("OASIS_WEIGHTS", "")
    assert weights.folder() == Path.home() / ".cache" / "oasis-vsr"


def test_missing_weights_are_named_with_their_address_and_place(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known(monkeypatch, None)
    sentence = (
        f"the toy weights toy.pth are not in {folder}; get them from https://there/toy.pth "
        "and put them there as toy.pth (or set OASIS_WEIGHTS)"
    )
    with pytest.raises(weights.Missing, match=re.escape(sentence)):
        weights.find("toy")
    assert weights.state("toy") == "missing"
    (folder / "toy.pth").mkdir()
    assert weights.state("toy") == "missing"


def test_right_weights_are_found_and_wrong_ones_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known(monkeypatch, hashlib.sha256(b"right").hexdigest())
    path = folder / "toy.pth"
    path.write_bytes(b"right")
    assert weights.find("toy") == path and weights.state("toy") == "here"
    path.write_bytes(b"wrong!")
    with pytest.raises(
        ValueError, match=rf"{re.escape(str(path))}: not the toy weights: its sha256 is {weights.digest('toy')}"
    ):
        weights.find("toy")
    assert weights.state("toy") == "wrong"


def test_a_hash_that_nobody_states_is_reported_and_not_checked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known(monkeypatch, None)
    (folder / "toy.pth").write_bytes(b"any")
    assert weights.state("toy") == "here" and weights.digest("toy") == hashlib.sha256(b"any").hexdigest()


def test_a_file_is_hashed_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known(monkeypatch, hashlib.sha256(b"right").hexdigest())
    (folder / "toy.pth").write_bytes(b"right")
    hashed = []
    monkeypatch.setattr(
        weights.files, "sha256", lambda path: hashed.append(path) or hashlib.sha256(path.read_bytes()).hexdigest()
    )
    for _ in range(3):
        weights.find("toy")
    assert len(hashed) == 1


def test_every_weight_says_where_it_is_from_and_what_it_is_for() -> None:
    assert len({weight.file for weight in weights.WEIGHTS.values()}) == len(weights.WEIGHTS)
    for name, weight in weights.WEIGHTS.items():
        assert name == weight.name and weight.address.startswith("https://") and weight.licence and weight.what
        assert weight.sha256 is None or re.fullmatch("[0-9a-f]{64}", weight.sha256)
        stated = re.search(r"-([0-9a-f]{8})\.pth$", weight.file)  # the publishers' custom: the hash's first digits
        assert not stated or (weight.sha256 or "").startswith(stated[1])


def test_measures_and_weights_need_each_other() -> None:
    needed = {weight for measure in MEASURES.values() for weight in measure.weights}
    assert needed <= set(weights.WEIGHTS)


def test_the_hashes_of_the_shared_files(shared) -> None:  # type: ignore[no-untyped-def]
    for name in ("niqe_basicsr", "brisque_imquality"):
        weight = weights.WEIGHTS[name]
        assert files.sha256(shared(f"data/weights/{weight.file}")) == weight.sha256
