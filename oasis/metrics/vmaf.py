"""VMAF by an ffmpeg on this machine that was built with libvmaf."""

import functools
import json
import math
import shutil
import statistics
import subprocess
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from oasis.metrics.frames import Frame
from oasis.metrics.framewise import check_size
from oasis.metrics.meter import Meter, Result, Setting, Unavailable

MODEL = "vmaf_v0.6.1"
NAME = "vmaf@v0.6.1"
SMALLEST = 33  # measured with libvmaf 3: below, even equal frames score 78 to 91
_LOG = "vmaf.json"


def make(names: Sequence[str], setting: Setting) -> Meter:
    """Return a meter of VMAF; `Unavailable` without an ffmpeg that has libvmaf, ValueError if the frames are too small."""
    check_size(NAME, SMALLEST, setting)
    program = shutil.which("ffmpeg")
    if program is None or not has_libvmaf(program):
        raise Unavailable(
            f"{NAME} needs an ffmpeg with the filter libvmaf, and {program or 'none'} is on the PATH; "
            "static builds of ffmpeg have it, and so has the one in the package imageio-ffmpeg"
        )
    return _Vmaf(program, setting)


def luma(frame: Frame) -> UInt8[ndarray, "h w"]:
    """Return luma of BT.709 in limited range, 16..235, rounded: the plane that VMAF's model was trained on."""
    return (16.5 + frame.rgb @ (np.array([0.2126, 0.7152, 0.0722]) * 219 / 255)).astype(np.uint8)


class _Vmaf:
    """An ffmpeg that is sent every pair of frames as one picture, output above reference, and cuts it apart again.

    One pipe cannot deadlock as two would, and memory stays bounded: the pipe waits for ffmpeg.
    """

    def __init__(self, program: str, setting: Setting) -> None:
        self._clip, self._frames = setting.clip, 0
        self._folder = tempfile.TemporaryDirectory(prefix="oasis-vmaf-")
        self._errors = open(Path(self._folder.name) / "errors.txt", "w+b")  # noqa: SIM115
        # The log's name is relative, because a path may hold what separates a filter's options.
        self._ffmpeg = subprocess.Popen(
            [program, *_arguments(setting)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            cwd=self._folder.name,
        )
        self._close = weakref.finalize(self, _end, self._ffmpeg, self._errors, self._folder)

    def add(self, output: Frame, reference: Frame | None) -> None:
        """Send the next pair of frames."""
        if reference is None:
            raise ValueError("a full-reference measure was given no reference frame")
        assert self._ffmpeg.stdin is not None
        try:
            self._ffmpeg.stdin.write(_picture(output, reference).tobytes())
        except BrokenPipeError:
            raise self._failure() from None
        self._frames += 1

    def result(self) -> dict[str, Result]:
        """Wait for ffmpeg and return the arithmetic mean over frames."""
        assert self._ffmpeg.stdin is not None
        try:
            self._ffmpeg.stdin.close()
        except BrokenPipeError:
            raise self._failure() from None
        if self._ffmpeg.wait() != 0:
            raise self._failure()
        series = scores((Path(self._folder.name) / _LOG).read_text(encoding="utf-8"))
        self._close()
        if len(series) != self._frames or not all(map(math.isfinite, series)):
            raise ValueError(
                f"{self._clip}: {NAME} gave {len(series)} scores for {self._frames} frames, or one that is no number"
            )
        return {NAME: Result(value=statistics.fmean(series), series=series, numbers=tuple(range(len(series))))}

    def _failure(self) -> ValueError:
        self._ffmpeg.wait()
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace").strip().splitlines()
        self._close()
        return ValueError(
            f"{self._clip}: ffmpeg failed at frame {self._frames} of {NAME}: {said[-1] if said else 'no message'}"
        )


def scores(log: str) -> tuple[float, ...]:
    """Return the score of every frame from libvmaf's log in JSON."""
    frames = json.loads(log)["frames"]
    return tuple(float(frame["metrics"]["vmaf"]) for frame in sorted(frames, key=lambda frame: frame["frameNum"]))


def _arguments(setting: Setting) -> list[str]:
    size = f"{setting.width}:{setting.height}"
    graph = (
        f"split[a][b];[a]crop={size}:0:0[output];[b]crop={size}:0:{setting.height}[reference];"
        f"[output][reference]libvmaf=model=version={MODEL}:log_fmt=json:log_path={_LOG}"
    )
    source = ["-f", "rawvideo", "-pix_fmt", "yuv444p", "-video_size", f"{setting.width}x{2 * setting.height}", "-i", "pipe:0"]
    return ["-hide_banner", "-loglevel", "error", *source, "-lavfi", graph, "-f", "null", "-"]


def _picture(output: Frame, reference: Frame) -> UInt8[ndarray, "3 hh w"]:
    """Return both lumas above each other and two grey planes: 4:4:4, so that odd sizes can be cut; VMAF sees luma only."""
    stacked = np.concatenate([luma(output), luma(reference)])
    return np.stack([stacked, np.full_like(stacked, 128), np.full_like(stacked, 128)])


@functools.cache
def has_libvmaf(program: str) -> bool:
    """Return whether an ffmpeg has the filter libvmaf."""
    listing = subprocess.run([program, "-hide_banner", "-filters"], capture_output=True, text=True, check=False).stdout
    return any(line.split()[1:2] == ["libvmaf"] for line in listing.splitlines())


def _end(ffmpeg: "subprocess.Popen[bytes]", errors: IO[bytes], folder: "tempfile.TemporaryDirectory[str]") -> None:
    ffmpeg.kill()
    if ffmpeg.stdin is not None and not ffmpeg.stdin.closed:
        ffmpeg.stdin.close()
    ffmpeg.wait()
    errors.close()
    folder.cleanup()
