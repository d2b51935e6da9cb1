import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oasis.measures import MEASURES
from oasis.metrics import vmaf
from oasis.metrics.frames import Frame
from oasis.metrics.meter import Meter, Setting, Unavailable
from oasis.score import listing

LISTING = " .. libvmaf           VV->V      Calculate the VMAF between two video streams."
# Scores a pair by the mean absolute difference of the two halves of each picture's first plane, and writes libvmaf's log.
PROGRAM = f"""#!{sys.executable}
import json, sys
import numpy as np
if "-filters" in sys.argv:
    print(FILTERS)
    sys.exit()
width, height = map(int, sys.argv[sys.argv.index("-video_size") + 1].split("x"))
frames = []
while len(picture := sys.stdin.buffer.read(3 * width * height)) == 3 * width * height:
    output, reference = np.split(np.frombuffer(picture, np.uint8)[:width * height].reshape(height, width).astype(float), 2)
    score = VALUE(abs(output - reference).mean())
    frames.append({{"frameNum": len(frames), "metrics": {{"vmaf": score, "integer_motion": 0}}}})
LAST
graph = sys.argv[sys.argv.index("-lavfi") + 1]
open(graph.partition("log_path=")[2], "w").write(json.dumps({{"version": "3", "frames": frames[::-1]}}))
"""


def install(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, filters: str = LISTING, value: str = "float", last: str = ""
) -> None:
    script = PROGRAM.replace("FILTERS", repr(filters)).replace("VALUE", value).replace("LAST", last)
    (folder / "ffmpeg").write_text(script)
    (folder / "ffmpeg").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def meter(height: int = 48, width: int = 50) -> Meter:
    return vmaf.make([vmaf.NAME], Setting(clip="clip", frames=3, height=height, width=width))


def flat(grey: int, height: int = 48, width: int = 50) -> Frame:
    return Frame(np.full((height, width, 3), grey, dtype=np.uint8))


@pytest.mark.parametrize(("height", "width"), [(48, 50), (33, 47)])
def test_every_pair_is_scored_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, height: int, width: int) -> None:
    install(tmp_path, monkeypatch)
    taken = meter(height, width)
    for grey in (0, 255, 127):
        taken.add(flat(grey, height, width), flat(0, height, width))
    result = taken.result()[vmaf.NAME]
    assert result.series == (0, 219, 109) and result.numbers == (0, 1, 2)
    assert result.value == pytest.approx(328 / 3)


def test_without_libvmaf_it_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="needs an ffmpeg with the filter libvmaf, and none is on the PATH"):
        meter()
    install(tmp_path, monkeypatch, filters=" ... vmafmotion        V->V       Calculate the VMAF Motion score.")
    with pytest.raises(Unavailable, match=f"and {tmp_path}/ffmpeg is on the PATH"):
        meter()


def test_the_list_says_whether_an_ffmpeg_has_libvmaf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert listing.here(MEASURES[vmaf.NAME]) == "no ffmpeg"
    for name, filters, said in (("with", LISTING, "yes"), ("without", " ... vmafmotion  V->V  Motion.", "no libvmaf")):
        (tmp_path / name).mkdir()
        install(tmp_path / name, monkeypatch, filters=filters)
        assert listing.here(MEASURES[vmaf.NAME]) == said


@pytest.mark.parametrize(
    ("value", "last", "sentence"),
    [
        ("float", "sys.exit('no model vmaf_v0.6.1')", "ffmpeg failed at frame 1 of vmaf@v0.6.1: no model vmaf_v0.6.1"),
        ("float", "frames.pop()", "gave 0 scores for 1 frames"),
        ("(lambda _: float('nan'))", "", "or one that is no number"),
    ],
)
def test_what_goes_wrong_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, last: str, sentence: str) -> None:
    install(tmp_path, monkeypatch, value=value, last=last)
    taken = meter()
    taken.add(flat(0), flat(0))
    with pytest.raises(ValueError, match=sentence):
        taken.result()


def test_frames_are_refused_without_reference_or_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch)
    with pytest.raises(ValueError, match="no reference frame"):
        meter().add(flat(0), None)
    with pytest.raises(ValueError, match=r"frames of 50x32 pixels are too small for vmaf@v0\.6\.1"):
        meter(height=32)


def test_an_abandoned_meter_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch)
    monkeypatch.setattr(vmaf.tempfile, "tempdir", str(tmp_path))
    taken = meter()
    process = taken._ffmpeg  # type: ignore[attr-defined]
    taken.add(flat(0), flat(0))
    del taken
    assert process.poll() is not None
    assert [entry.name for entry in tmp_path.iterdir()] == ["ffmpeg"]


@settings(max_examples=20)
@given(st.lists(st.integers(0, 255), min_size=3, max_size=3))
def test_luma_is_of_bt709_in_limited_range(rgb: list[int]) -> None:
    pixel = Frame(np.array(rgb, dtype=np.uint8).reshape(1, 1, 3))
    r, g, b = rgb
    assert abs(int(vmaf.luma(pixel)[0, 0]) - (16 + 219 * (0.2126 * r + 0.7152 * g + 0.0722 * b) / 255)) <= 0.5 + 1e-9


@pytest.mark.skipif(
    not (shutil.which("ffmpeg") and vmaf.has_libvmaf(str(shutil.which("ffmpeg")))), reason="no ffmpeg with libvmaf on the PATH"
)
def test_the_real_vmaf_equals_ffmpeg_on_two_files(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    clean = np.kron(random.integers(0, 256, (4, 12, 16, 3)), np.ones((1, 8, 8, 1))).astype(np.uint8)
    noisy = (clean + random.normal(0, 12, clean.shape)).clip(0, 255).astype(np.uint8)
    taken = meter(96, 128)
    for pair in zip(noisy, clean, strict=True):
        taken.add(*map(Frame, pair))
    for name, frames in (("noisy", noisy), ("clean", clean)):
        chroma = bytes([128]) * (96 * 128 // 2)
        (tmp_path / name).write_bytes(b"".join(vmaf.luma(Frame(frame)).tobytes() + chroma for frame in frames))
    raw = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", "128x96", "-i"]
    command = ["ffmpeg", "-v", "error", *raw, "noisy", *raw, "clean", "-lavfi", "libvmaf=log_fmt=json:log_path=log"]
    subprocess.run([*command, "-f", "null", os.devnull], cwd=tmp_path, check=True)
    pooled = json.loads((tmp_path / "log").read_text())["pooled_metrics"]["vmaf"]["mean"]
    value = taken.result()[vmaf.NAME].value
    assert value == pytest.approx(pooled, abs=1e-4) and 0 < value < 100
