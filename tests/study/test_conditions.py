"""Conditions of the study: what they probe, what is kept, and what each of them changes."""

import json
from functools import cache
from pathlib import Path

import little
import numpy as np
import pandas as pd
import pytest
import torch

import oasis
from oasis import probe
from oasis.data import builtin
from oasis.data.clips import as_tensor
from oasis.degrade import named
from oasis.heads import read_heads
from oasis.model import checkpoint, load_model
from oasis.routing import GLOBAL, parse_pattern
from oasis.study import conditions
from oasis.study.conditions import REFERENCE, Condition

PATTERNS = ("frame", "window-4x4")
CLIPS = ("china-pan", "coffee-turn", "ihc-pan")
SMALL = Condition(axis="reference", name="small", frames=5, crop=(16, 16), clips=CLIPS)


def other(axis: str, name: str, **changes: object) -> Condition:
    return Condition(**{**vars(SMALL), "axis": axis, "name": name, **changes})


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return little.checkpoint(tmp_path_factory.mktemp("model") / "little")


@pytest.fixture(autouse=True)
def small_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    """Render clips of the size that is needed here, once."""
    monkeypatch.setattr(builtin, "make", _rendered)


_make = builtin.make


@cache
def _rendered(name: str) -> builtin.BuiltinClip:
    return _make(name, frames=9, height=96, width=96)


def test_a_condition_is_a_probe_of_the_clips_it_says(model: Path, tmp_path: Path) -> None:
    condition = other("timestep", "200", timestep=200.0, degradation="bi", seed=3)
    path = conditions.measure(str(model), tmp_path, [condition], patterns=PATTERNS)["timestep/200"]
    loaded = load_model(model)
    loaded.model.config = conditions.replace(loaded.model.config, timestep=200.0)
    loaded.model.fold_constants()
    taken = []
    for name in CLIPS:
        hr = builtin.make(name).hr
        generator, noise = named.seeded(name, 3)
        lq = np.stack(list(named.apply(named.draw("bi", generator, 9, 96, 96), iter(hr), noise)))
        taken.append((name, as_tensor(lq[:5, 4:20, 4:20])))
    wanted = probe.probe(probe.Own(loaded), taken, [parse_pattern(name) for name in PATTERNS]).heads
    found = read_heads(path)
    assert found["timestep"].unique() == [200.0]
    pd.testing.assert_frame_equal(found, wanted, check_dtype=False, rtol=1e-5, atol=1e-6)


def test_each_condition_changes_what_it_says_and_nothing_else(model: Path, tmp_path: Path) -> None:
    little.checkpoint(tmp_path / "other", seed=1)
    tried = [
        SMALL,
        other("content", "two", clips=CLIPS[:2], part_of="reference/small"),
        other("degradation", "bi", degradation="bi"),
        other("resolution", "12x20", crop=(12, 20)),
        other("length", "9", frames=9),
        other("seed", "1", seed=1),
        other("timestep", "0", timestep=0.0),
        other("training", "other", weights=str(tmp_path / "other")),
    ]
    measured = conditions.measure(str(model), tmp_path, tried, patterns=PATTERNS)
    tables = {name: read_heads(path) for name, path in measured.items()}
    whole = tables["reference/small"]
    assert list(tables) == [condition.table for condition in tried]
    grids = {name: tuple(table[["T", "H", "W"]].iloc[0]) for name, table in tables.items()}
    assert grids.pop("resolution/12x20") == (2, 6, 10) and grids.pop("length/9") == (3, 8, 8)
    assert set(grids.values()) == {(2, 8, 8)}
    part = tables["content/two"]
    pd.testing.assert_frame_equal(part, whole[whole["clip"].isin(CLIPS[:2])].reset_index(drop=True))
    for name in ("degradation/bi", "seed/1", "timestep/0", "training/other"):
        assert not np.allclose(tables[name]["kl_mean"], whole["kl_mean"], rtol=1e-3), name
    weights = {name: table["weights_sha256"].iloc[0] for name, table in tables.items()}
    assert weights.pop("training/other") not in set(weights.values()) and len(set(weights.values())) == 1
    listed = pd.read_csv(tmp_path / "conditions" / "conditions.csv")
    assert listed["table"].tolist() == list(tables)
    assert measured == {name: tmp_path / "conditions" / name / "heads.csv" for name in tables}


def test_what_is_there_is_kept_and_what_does_not_fit_is_made_again(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    run = probe.probe

    def counted(*args: object, **options: object) -> object:
        made.append("probe")
        return run(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(probe, "probe", counted)
    both = [SMALL, other("seed", "1", seed=1)]
    first = conditions.measure(str(model), tmp_path, both, patterns=PATTERNS)
    before = {name: path.read_bytes() for name, path in first.items()}
    assert len(made) == 2
    conditions.measure(str(model), tmp_path, both, patterns=PATTERNS)
    assert len(made) == 2
    first["seed/1"].unlink()
    again = conditions.measure(str(model), tmp_path, both, patterns=PATTERNS)
    assert len(made) == 3 and {name: path.read_bytes() for name, path in again.items()} == before
    conditions.measure(str(model), tmp_path, [SMALL, other("seed", "1", seed=2)], patterns=PATTERNS)
    assert len(made) == 4 and again["seed/1"].read_bytes() != before["seed/1"]
    key = json.loads((tmp_path / "conditions" / "seed" / "1" / "key.json").read_text())
    assert key["seed"] == 2 and key["clips"] == list(CLIPS)


def test_weights_that_come_with_a_routing_are_probed_dense() -> None:
    found, routed = conditions._dense("tiny-routed", "cpu"), load_model("tiny-routed")
    assert all(pattern == GLOBAL for layer in found.model.dit.patterns for pattern in layer)
    assert found.weights_sha256 == routed.weights_sha256
    dense = checkpoint.load(Path(oasis.__file__).parent / "assets" / "tiny-routed").model.eval()
    lq = little.moving(5, 12, 12).transpose(0, 1)[None] / 127.5 - 1
    with torch.inference_mode():
        one, other, another = (each(lq) for each in (found.model, dense, routed.model))
    assert torch.allclose(one, other, atol=1e-5) and not torch.allclose(one, another, atol=1e-3)


def test_a_crop_that_no_clip_has_is_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'length/99' takes 99x16x16 .* of 9x24x24; allowed"):
        conditions.measure(str(model), tmp_path, [other("length", "99", frames=99)], patterns=PATTERNS)
    assert not (tmp_path / "conditions" / "length").exists()


def test_the_conditions_of_the_study_are_one_change_each_on_training_clips() -> None:
    names = [condition.table for condition in conditions.of("tiny")]
    assert len(set(names)) == len(names) and names[0] == REFERENCE.table
    training = set(builtin.names("train"))
    for condition in conditions.of("tiny")[1:]:
        changed = {name for name, value in vars(condition).items() if value != vars(REFERENCE)[name]} - {"axis", "name"}
        assert len(changed - {"part_of"}) == 1, condition
        assert set(condition.clips) <= training
    content = [set(condition.clips) for condition in conditions.CONDITIONS if condition.axis == "content"]
    assert set.union(*content) == training and not set.intersection(*content)
    assert len(conditions.of("some-folder")) == len(conditions.CONDITIONS)
