import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from oasis.grid import Grid
from oasis.report.run import FILES, head_means, read_run


@pytest.mark.parametrize("name", FILES)
def test_each_missing_file_is_named(make_run, name: str) -> None:
    folder = make_run()
    (folder / name).unlink()
    with pytest.raises(ValueError, match=f"{name} is missing"):
        read_run(folder)


def test_a_clip_may_be_called_like_a_missing_value(make_run) -> None:
    run = read_run(make_run(clips=("NA", "001")))
    assert list(run.heads["clip"].unique()) == ["NA", "001"]


def test_means_are_over_clips(make_run) -> None:
    run = read_run(make_run())
    found = head_means(run.heads).set_index(["layer", "head", "pattern"])["kl_mean"]
    rows = run.heads[(run.heads["layer"] == 1) & (run.heads["head"] == 2) & (run.heads["pattern"] == "frame")]
    assert len(rows) == 2
    assert found[1, 2, "frame"] == pytest.approx(rows["kl_mean"].sum() / 2)


def test_relative_kl_is_missing_where_a_pattern_holds_every_token(make_run) -> None:
    heads = read_run(make_run(grid=Grid(1, 8, 12))).heads
    assert heads.groupby("pattern")["kl_rel"].count().to_dict() == {"frame": 0, "window-8x8": 12}


def _heads(folder: Path, change) -> None:
    rows = pd.read_csv(folder / "heads.csv")
    change(rows).to_csv(folder / "heads.csv", index=False)


def _json(path: Path, **fields) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def _looks(path: Path, **arrays) -> None:
    with np.load(path) as archive:
        old = dict(archive)
    np.savez(path, **(old | arrays))


BROKEN = {
    "heads.csv: column 11 is 'kl_p50', not 'kl_mean'": lambda f: _heads(f, lambda rows: rows.drop(columns="kl_mean")),
    "disagree about the heads: 3 and 6, 3 of them": lambda f: _heads(f, lambda rows: rows[rows["layer"] == 0]),
    "belongs to weights 00": lambda f: _json(f / "routing.json", weights_sha256="00"),
    "profiles.csv: needs rows": lambda f: (f / "profiles.csv").write_text("clip,layer,head,dt,mass\n"),
    "profiles.csv: not a table": lambda f: (f / "profiles.csv").write_text("clip,layer,head,dt,mass\na,0,0,x,1\n"),
    "'trained' is true or false": lambda f: _json(f / "run.json", trained="yes"),
    "run.json: not a JSON file": lambda f: (f / "run.json").write_text("{"),
    "looks.npz: not a file of attention maps": lambda f: (f / "looks.npz").write_bytes(b"PK\x03\x04"),
    "looks.npz: shapes do not fit": lambda f: _looks(f / "looks.npz", heads=np.zeros((9, 2), int)),
    r"looks.npz: query \[0, 99, 0\] lies outside": lambda f: _looks(f / "looks.npz", query=np.array([0, 99, 0])),
    "layer 7, head 0 is not in profiles.csv": lambda f: _looks(f / "looks.npz", heads=np.array([(0, 0), (7, 0), (1, 1)])),
}


@pytest.mark.parametrize("message", BROKEN)
def test_what_does_not_fit_is_said(make_run, message: str) -> None:
    folder = make_run()
    BROKEN[message](folder)
    with pytest.raises(ValueError, match=message):
        read_run(folder)
