"""A folder of reports with every kind of row and names that try to break out of a page."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from oasis import measures, results, routings, timings
from oasis.report.board import rows as board
from oasis.results import Score
from oasis.routings import Routing
from oasis.timings import Timing

ROOT = Path(__file__).parents[3]
HOSTILE = '<img src=x onerror="window.hacked=1">'
METHODS = ("bicubic", "STAR", "tiny-routed", "tiny-dense", HOSTILE)
DATASETS = {"udm10": None, "toy's <set>": ("a", "b <i>", "c&d", "e", "f", "g")}
NAMES = ("psnr@rgb", "ssim@rgb", "lpips@alex")


def write_reports(folder: Path) -> None:
    """Write score files, cards, timings, routings and reported numbers: one method contributed, one with a failed clip."""
    for name in ("measured", "others", "reported", "timings", "routings"):
        (folder / "results" / name).mkdir(parents=True)
    (folder / "methods").mkdir()
    for number, method in enumerate(METHODS):
        card = {"name": method, "title": method.title() if method != HOSTILE else HOSTILE, "venue": "CVPR <2025>", "note": ""}
        card |= {"link": "https://example.org/?a=1&b=2", "parameters": 10**number if number else None, "kind": "classic"}
        (folder / "methods" / f"{number}.yaml").write_text(yaml.safe_dump({**card, "ran_by": "a test"}), encoding="utf-8")
        for place, dataset in enumerate(DATASETS):
            kind = "others" if method == "tiny-dense" else "measured"
            path = folder / "results" / kind / f"{number}-{place}.csv"
            results.write(path, _scores(number, dataset), {"method": method, "dataset": dataset, "machine": "<b>fast</b>"})
    reported = ROOT / "reports" / "results" / "reported"
    shutil.copy(reported / "published.csv", folder / "results" / "reported")
    printed = (reported / "efficiency.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    one_table = [line for line in printed if line.startswith("method,") or "DOVE supplementary" in line]
    (folder / "results" / "reported" / "efficiency.csv").write_text("".join(one_table), encoding="utf-8")
    timings.write(folder / "results" / "timings" / "cpu.csv", map(_timing, METHODS), {"processor": "a CPU"})
    found = [
        Routing(
            model="tiny",
            rule=rule,
            control=control,
            heads="G=1,F=2",
            attention_flops_ratio=flops,
            kl_total=kl,
            seconds_ratio=seconds,
            measure="psnr@rgb",
            quality=quality,
            quality_dense=28.0,
            clips=6,
        )
        for rule, control, flops, kl, seconds, quality in (
            ("dense", 0, 1.0, 0.0, 1.0, 28.0),
            ("threshold:tau=0.5", 0, 0.6, 5.0, 0.8, 27.9),
            ("random:seed=0", 1, 0.6, 20.0, 0.8, 27.0),
        )
    ]
    routings.write(folder / "results" / "routings" / "tiny.csv", found, {})


def _scores(number: int, dataset: str) -> Iterator[Score]:
    clips = DATASETS[dataset] or board.clips.of_card(dataset)
    for place, clip in enumerate(clips):
        for measure in NAMES:
            failed = METHODS[number] == "STAR" and dataset != "udm10" and place == 1 and measure == "ssim@rgb"
            step = {"psnr@rgb": 1.0, "ssim@rgb": 0.02, "lpips@alex": -0.02}[measure]
            yield Score(
                method=METHODS[number], dataset=dataset, clip=clip, measure=measure, version=measures.find(measure).version,
                status="failed" if failed else "ok",
                value=None if failed else 0.5 + 25 * (step == 1.0) + step * (number + place % 4),
                frames=8, align="none", output_sha256="0" * 64, reference_sha256=f"{place:064x}",
                reason="<script>window.hacked=2</script> is broken" if failed else "",
            )  # fmt: skip


def _timing(method: str) -> Timing:
    p50 = 0.01 * 3 ** METHODS.index(method)
    return Timing(
        subject=method, what="pipeline", phase="total", case="8x64x96", backend="folded", dtype="float32", device="cpu",
        cache="warm",
        p20=0.9 * p50, p50=p50, p80=1.2 * p50, ratio=1.0, baseline="bicubic", rounds=9, peak_mib=None, frames=8,
    )  # fmt: skip


def write_frames(folder: Path) -> None:
    """Write two clips with frames and x-t slices of three methods, one with a hostile name."""
    for clip in ("archwall", "b <i>"):
        (folder / "udm10" / clip).mkdir(parents=True)
        for number, method in enumerate(("bicubic", "STAR", '<b>x"&#')):
            y, x = np.mgrid[:90, :160]
            picture = np.stack([x + 30 * number, 2 * y, 255 * ((x // 8 + y // 8) % 2)], axis=-1).astype(np.uint8)
            Image.fromarray(picture).save(folder / "udm10" / clip / f"{method}.png")
            Image.fromarray(picture[:24]).save(folder / "udm10" / clip / f"{method}-xt.png")


def load(folder: Path) -> board.Rows:
    return board.load(folder / "results", folder / "methods")
