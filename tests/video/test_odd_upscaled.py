"""Odd videos by the command: upscaled exactly, or refused in one sentence that leaves nothing."""

from pathlib import Path

import pytest
from little import checkpoint
from made import GREY, encode
from odd import BROKEN, READ, REFUSED

from oasis import video
from oasis.cli import main
from oasis.video import source


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("model") / "little")


@pytest.mark.parametrize("name", READ)
def test_what_is_read_is_upscaled_exactly(tmp_path: Path, model: Path, name: str) -> None:
    images, path = READ[name].get("images", GREY), encode(tmp_path / name, **READ[name])
    assert (
        main(["upscale", str(path), str(tmp_path / "out.mkv"), "--model", str(model), "--tile", "17x48x64", "--scale", "2"])
        == 0
    )
    before, after = video.describe(path), video.describe(tmp_path / "out.mkv")
    found = list(source.frames(tmp_path / "out.mkv"))
    assert len(found) == len(images)
    assert (after.height, after.width, after.bits) == (2 * before.height, 2 * before.width, before.bits)
    assert len(after.streams) == len(before.streams)
    times = [frame.pts * before.time_base for frame in source.frames(path)]
    # The clocks of some start anywhere; what comes first, sound or picture, then starts at 0.
    shift = times[0] - found[0].pts * after.time_base if path.suffix in (".ts", ".mpg") else 0
    for frame, time in zip(found, times, strict=True):
        assert abs(frame.pts * after.time_base - (time - shift)) <= 0.0005  # Matroska's are whole milliseconds


@pytest.mark.parametrize("name", [*REFUSED, *BROKEN])
def test_what_is_refused_leaves_nothing(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture, name: str) -> None:
    if name in REFUSED:
        encode(tmp_path / name, **REFUSED[name][0])
    else:
        BROKEN[name](tmp_path / name)
    before = sorted(tmp_path.iterdir())
    assert main(["upscale", str(tmp_path / name), str(tmp_path / "out.mkv"), "--model", str(model)]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert said[-1].startswith("error: ") and name in said[-1]
    assert sorted(tmp_path.iterdir()) == before
