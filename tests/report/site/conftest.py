"""A folder of reports with every kind of row, and a page made of it; a real Chromium where there is one."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from oasis import measures, results, timings
from oasis.report.board import rows as board
from oasis.report.site.page import write_site
from oasis.results import Score
from oasis.timings import Timing

ROOT = Path(__file__).parents[3]
HOSTILE = '<img src=x onerror="window.hacked=1">'
METHODS = ("bicubic", "STAR", "tiny-routed", "tiny-dense", HOSTILE)
DATASETS = {"udm10": None, "toy's <set>": ("a", "b <i>", "c&d", "e", "f", "g")}
NAMES = ("psnr@rgb", "ssim@rgb", "lpips@alex")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


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
    for name in ("published.csv", "efficiency.csv"):
        shutil.copy(ROOT / "reports" / "results" / "reported" / name, folder / "results" / "reported")
    timings.write(folder / "results" / "timings" / "cpu.csv", map(_timing, METHODS), {"processor": "a CPU"})
    lines = ["# " + json.dumps({"format": 1, "kind": "routings"}), ",".join(board.ROUTINGS)]
    for rule, control, flops, kl, seconds, quality in (
        ("dense", 0, 1.0, 0.0, 1.0, 28.0), ("threshold:tau=0.5", 0, 0.6, 5.0, 0.8, 27.9), ("random:seed=0", 1, 0.6, 20.0, 0.8, 27.0)
    ):  # fmt: skip
        lines.append(f'tiny,{rule},{control},"G=1,F=2",{flops},{kl},{seconds},psnr@rgb,{quality},28.0,6')
    (folder / "results" / "routings" / "tiny.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _scores(number: int, dataset: str) -> Iterator[Score]:
    clips = DATASETS[dataset] or board.clips.of_card(dataset)
    for place, clip in enumerate(clips):
        for measure in NAMES:
            failed = METHODS[number] == "STAR" and dataset != "udm10" and place == 1 and measure == "ssim@rgb"
            step = {"psnr@rgb": 1.0, "ssim@rgb": 0.02, "lpips@alex": -0.02}[measure]
            yield Score(
                method=METHODS[number], dataset=dataset, clip=clip, measure=measure, version=measures.find(measure).version,
                status="failed" if failed else "ok", value=None if failed else 0.5 + 25 * (step == 1.0) + step * (number + place % 4),
                frames=8, align="none", output_sha256="0" * 64, reference_sha256=f"{place:064x}",
                reason="<script>window.hacked=2</script> is broken" if failed else "",
            )  # fmt: skip


def _timing(method: str) -> Timing:
    p50 = 0.01 * 3 ** METHODS.index(method)
    return Timing(
        subject=method, what="pipeline", phase="total", case="8x64x96", backend="folded", dtype="float32", device="cpu", cache="warm",
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


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a page of everything; tests only read it."""
    folder = tmp_path_factory.mktemp("reports")
    write_reports(folder)
    write_frames(folder / "frames")
    write_site(load(folder), folder, folder / "frames")
    return folder


@pytest.fixture(scope="session")
def rows(site: Path) -> board.Rows:
    return load(site)


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    """Return a running Chromium; skip where there is none, or no playwright."""
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: the page is not tested in a browser")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is installed: the page is not tested in a browser")
    with sync.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])  # a container may have no user namespaces
        yield running
        running.close()


@pytest.fixture
def page(browser, site: Path) -> Iterator[object]:
    """Return the page from disk in a fresh window; whatever the test does, nothing may be fetched, fail or be complained of."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    tab = context.new_page()
    said: list[str] = []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda request: request.url.startswith("file://") or said.append(f"asked for {request.url}"))
    tab.on("requestfailed", lambda request: said.append(f"did not get {request.url}"))
    tab.goto((site / "index.html").as_uri())
    yield tab
    hacked = tab.evaluate("window.hacked")
    context.close()
    assert (said, hacked) == ([], None)
