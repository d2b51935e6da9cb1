"""The gallery: every head there, masses that add up, the query where it was marked."""

import numpy as np
import pandas as pd
import pytest
from little import checkpoint, moving

from oasis import probe, profiling, video
from oasis.model import load_model
from oasis.report.chapters import read_chapter
from oasis.report.run import read_run
from oasis.routing import FRAME, GLOBAL, RoutingTable
from oasis.study import gallery

TABLE = RoutingTable(model="m", weights_sha256="0", patterns={"G": GLOBAL, "F": FRAME}, layers=("GF", "FF"))


def test_masses_are_sums_over_frames():
    attention = np.random.default_rng(0).random((4, 3, 2, 5))
    attention /= attention.sum(axis=(1, 2, 3), keepdims=True)
    rows = gallery.mass(attention, [(0, 0), (0, 1), (1, 0), (1, 1)], (1, 0, 0), TABLE)
    assert len(rows) == 12 and rows.groupby(["layer", "head"])["mass"].sum().to_numpy() == pytest.approx(1)
    assert rows["own_frame"].to_numpy()[::3] == pytest.approx(attention[:, 1].sum(axis=(1, 2)))
    assert list(rows["pattern"][::3]) == ["global", "frame", "frame", "frame"]


def test_a_panel_marks_the_query_and_shows_heat_where_attention_is():
    attention = np.zeros((2, 4, 6))
    attention[1, 0, 5] = 1
    panel = gallery._panel(np.zeros((40, 60)), attention, (1, 2, 3), np.array((0.0, 0.0, 1.0)))
    picture = panel[2 + gallery.EDGE :, 2 + gallery.EDGE :]
    assert tuple(picture[25, 35]) == (0, 1, 1)  # row 2 of 4, column 3 of 6
    assert picture[5, 55].sum() > 1.5 and picture[35, 5].sum() < 0.1
    assert tuple(panel[3, 3]) == (0, 0, 1) and tuple(panel[0, 0]) == (1, 1, 1)
    strip = picture[40 : 40 + gallery.STRIP, :60]
    assert strip[:, 45].sum() > strip[:, 15].sum()


def test_the_chapter_shows_every_head_of_a_profiled_run(tmp_path):
    video.write(tmp_path / "a.mkv", moving(5, 16, 24), 25)
    model = checkpoint(tmp_path / "little", trained=False)
    profiling.profile(profiling.Request(model=str(model), data=str(tmp_path / "a.mkv"), frames=5), tmp_path / "profile")
    run = read_run(tmp_path / "profile")
    frames = video.read(tmp_path / "a.mkv").frames
    gallery.write(probe.Own(load_model(str(model))), run, frames, tmp_path / "gallery", {"seed": 0})
    rows = pd.read_csv(tmp_path / "gallery" / "mass.csv")
    assert rows.groupby(["layer", "head"]).ngroups == 4 and rows["mass"].between(0, 1).all()
    assert not read_chapter(tmp_path / "gallery").trained
    assert (tmp_path / "gallery" / "gallery.png").stat().st_size > 1000
