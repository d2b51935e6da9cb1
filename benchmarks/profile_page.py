"""Time and memory of the leaderboard page of a million rows, and how fast it is in a real Chromium."""

import argparse
import shutil
import statistics
import tempfile
from pathlib import Path

from oasis.report.board import rows
from oasis.report.site.page import write_site

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
SORT = """async () => {
  const head = document.querySelector("section.open th[data-measure]:not([data-measure=''])");
  const start = performance.now();
  head.querySelector("button").click();
  document.body.offsetHeight;
  await new Promise(done => requestAnimationFrame(() => setTimeout(done)));
  return performance.now() - start;
}"""
OTHERS = {
    "filter": """async () => {
  const start = performance.now();
  document.querySelector("#pick-text").value = "9";
  document.querySelector("#pick-text").dispatchEvent(new Event("input", { bubbles: true }));
  await new Promise(done => requestAnimationFrame(() => setTimeout(done)));
  return performance.now() - start;
}""",
    "other set": """async () => {
  const start = performance.now();
  const pick = document.querySelector("#pick-dataset");
  pick.selectedIndex = (pick.selectedIndex + 1) % pick.options.length;
  pick.dispatchEvent(new Event("input", { bubbles: true }));
  await new Promise(done => requestAnimationFrame(() => setTimeout(done)));
  return performance.now() - start;
}""",
}


def browse(folder: Path, repeats: int) -> None:
    """Open the page from disk in fresh windows; print medians in milliseconds, and the slowest."""
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        raise SystemExit(f"none of {', '.join(BROWSERS)} is installed: the page was written and not opened")
    found: dict[str, list[float]] = {}
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        print("Chromium", browser.version)
        for _ in range(repeats):
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto((folder / "index.html").as_uri())
            found.setdefault("first paint", []).append(page.evaluate(PAINT))
            found.setdefault("loaded", []).append(
                page.evaluate("performance.timing.loadEventEnd - performance.timing.navigationStart")
            )
            for _ in range(2):
                found.setdefault("sort", []).append(page.evaluate(SORT))
            for name, script in OTHERS.items():
                found.setdefault(name, []).append(page.evaluate(script))
            page.close()
        browser.close()
    for name, times in found.items():
        print(f"{name:12} {statistics.median(times):7.0f} ms, at most {max(times):.0f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", type=int, default=100, help="(%(default)s)")
    parser.add_argument("--datasets", type=int, default=10, help="(%(default)s)")
    parser.add_argument("--clips", type=int, default=100, help="(%(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="windows that are opened (%(default)s)")
    args = parser.parse_args()
    from profile_report import timed, write_rows  # beside this file: the same rows

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_rows(root, args.methods, args.datasets, args.clips)
        loaded = timed("load", lambda: rows.load(root / "results", root / "methods"))
        written = timed("write_site", lambda: write_site(loaded, root, root / "frames"))
        size = sum(path.stat().st_size for path in written) / 2**20
        print(f"{len(written)} files, {size:.0f} MiB; index.html {(root / 'index.html').stat().st_size / 2**20:.1f} MiB")
        browse(root, args.repeats)


if __name__ == "__main__":
    main()
