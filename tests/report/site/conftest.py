"""A page made of every kind of row, and a real Chromium where there is one."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hostile import load, write_frames, write_reports

from oasis.report.board.rows import Rows
from oasis.report.site.page import write_site

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a page of everything; tests only read it."""
    folder = tmp_path_factory.mktemp("reports")
    write_reports(folder)
    write_frames(folder / "frames")
    write_site(load(folder), folder, folder / "frames")
    return folder


@pytest.fixture(scope="session")
def rows(site: Path) -> Rows:
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
