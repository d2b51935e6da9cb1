"""Profile scoring (PSNR and SSIM of RGB and Y, decoding included) against pyiqa, clip by clip, as ratios within one run."""

import argparse
import csv
import json
import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median

import av
import cv2
import numpy as np
import torch
from einops import rearrange

from oasis import dist, video
from oasis.data import builtin
from oasis.data.clips import as_tensor
from oasis.files import replacing
from oasis.metrics import Frame, Setting, pixel

NAMES = ("psnr@rgb", "psnr@y", "ssim@rgb", "ssim@y")
THEIRS = {"psnr": {}, "psnry": {"color_space": "ycbcr"}, "ssimc": {}, "ssim": {"color_space": "ycbcr"}}
PACKAGES = ("torch", "opencv-python-headless", "av", "pyiqa")
Pair = tuple[Path, Path]


def write_clips(folder: Path, count: int, shape: tuple[int, int, int]) -> None:
    for name in builtin.names("test")[:count]:
        clear = builtin.make(name, frames=shape[0], height=shape[1], width=shape[2]).hr
        for kind, images in (("gt", clear), ("outputs", np.stack([cv2.GaussianBlur(image, (0, 0), 1) for image in clear]))):
            (folder / kind).mkdir(exist_ok=True)
            video.write(folder / kind / f"{name}.mkv", as_tensor(images), fps=builtin.FPS)


def processor() -> str:
    found = re.search(r"^model name\s*: (.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else platform.machine()


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def score(pair: Pair) -> tuple[int, int, float]:
    """Score a clip frame by frame; return its frames, this process and the most memory of its own so far (Linux)."""
    cv2.setNumThreads(1)  # there is one worker per core
    about = video.info(pair[0])
    meter = pixel.make(NAMES, Setting(clip=pair[0].stem, frames=0, height=about.height, width=about.width))
    for images in zip(*map(video.stream, pair), strict=True):
        meter.add(*(Frame(np.ascontiguousarray(rearrange(image, "c h w -> h w c").numpy())) for image in images))
    libraries = re.search(r"RssFile:\s*(\d+)", Path("/proc/self/status").read_text(encoding="ascii"))
    assert libraries  # pages of files: the processes share them, and `ours` counts them once
    return len(meter.result()[NAMES[0]].series), os.getpid(), peak_mib() - int(libraries[1]) / 1024


def ours(pairs: list[Pair]) -> tuple[int, float]:
    """Return the frames scored, and the memory of all processes together, each at its highest."""
    answers = [answer for _, answer in dist.run(score, pairs, workers=os.cpu_count() or 1)]
    peaks = {os.getpid(): peak_mib()} | {process: peak for _, process, peak in sorted(answers, key=lambda each: each[2])}
    return sum(frames for frames, _, _ in answers), sum(peaks.values())


def pyiqa(pairs: list[Pair]) -> tuple[int, float]:
    """Do as pyiqa's users do: read a clip into one tensor, call the metrics on it."""
    from pyiqa import create_metric

    metrics = [create_metric(name, device="cpu", **options) for name, options in THEIRS.items()]
    frames = 0
    for pair in pairs:
        clips = []
        for path in pair:
            with av.open(str(path)) as container:
                images = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
            clips.append(rearrange(torch.from_numpy(images), "t h w c -> t c h w").float() / 255)
        frames += len(clips[0])
        _ = [metric(*clips).mean().item() for metric in metrics]
    return frames, peak_mib()


SIDES = {"ours": ours, "pyiqa": pyiqa}


def once(side: str, folders: tuple[Path, Path]) -> dict[str, float]:
    command = [sys.executable, __file__, "--side", side, "--outputs", str(folders[0]), "--gt", str(folders[1])]
    return json.loads(subprocess.check_output(command, text=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--outputs", type=Path, help="a folder of clips to score, by default blurred built-in ones")
    parser.add_argument("--gt", type=Path, help="a folder of their references, by the same names")
    parser.add_argument("--clips", type=int, default=2, help="how many built-in clips")
    parser.add_argument("--shape", type=int, nargs=3, default=(33, 368, 640), metavar=("T", "H", "W"), help="of built-in clips")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--csv", type=Path, help="write the rows to this file, too")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)  # each peak needs a fresh process
    options = parser.parse_args()
    if options.side:
        pairs = [(path, options.gt / path.name) for path in sorted(options.outputs.iterdir())]
        start = time.perf_counter()
        frames, peak = SIDES[options.side](pairs)
        return print(json.dumps({"frames_per_s": frames / (time.perf_counter() - start), "peak_MiB": peak}))
    with tempfile.TemporaryDirectory() as scratch:
        if not options.outputs:
            write_clips(Path(scratch), options.clips, options.shape)
        folders = options.outputs or Path(scratch, "outputs"), options.gt or Path(scratch, "gt")
        rounds = [{side: once(side, folders) for side in SIDES} for _ in range(options.rounds)]
    rows = [(q, *(median(each[side][q] for each in rounds) for side in SIDES)) for q in ("frames_per_s", "peak_MiB")]
    rows = [(*row, median(each["ours"][row[0]] / each["pyiqa"][row[0]] for each in rounds)) for row in rows]
    print(*("{:12}  ours {:9.2f}  pyiqa {:9.2f}  ratio {:9.4f}".format(*row) for row in rows), sep="\n")
    if options.csv:
        with replacing(options.csv) as path, open(path, "w", newline="", encoding="utf-8") as file:
            shape = "x".join(map(str, options.shape))
            data = "given clips" if options.outputs else f"{options.clips} built-in clips of {shape}"
            where = (data, options.rounds, processor(), os.cpu_count(), *map(version, PACKAGES), platform.python_version())
            names = ("data", "rounds", "processor", "cores", *(f"{package}_version" for package in PACKAGES), "python_version")
            header = ("quantity", "ours", "pyiqa", "ratio", *names)
            csv.writer(file, lineterminator="\n").writerows([header, *((*row, *where) for row in rows)])


if __name__ == "__main__":
    main()
