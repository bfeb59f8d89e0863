"""Chromium without a window, to look at pages as a person does."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.parts.missing import missing

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

PHONE, DESKTOP = (390, 844), (1440, 900)

FLAGS = (
    "--headless",
    "--no-sandbox",  # which root, as in a container, cannot have
    "--disable-gpu",
    "--disable-dev-shm-usage",
    # Nothing but the page: no updates, no other hosts.
    "--no-first-run",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def browsing(profile: Path) -> Iterator[Chrome]:
    """Run Chromium with a new profile in `profile`, a folder, until the block ends."""
    found = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    for name, path in found.items():
        if path is None:
            missing(f"{name} is not installed: scripts/setup --parts")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = str(found["chromium"])
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(found["chromedriver"])))
    try:
        yield driver
    finally:
        driver.quit()


def look(driver: Chrome, page: Path, size: tuple[int, int] = DESKTOP, *, dark: bool = False) -> None:
    """Open a page on a screen of that size, in light or dark, with nothing moving, and nothing logged before."""
    width, height = size
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == PHONE}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features: list[dict[str, Any]] = [
        {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
        {"name": "prefers-reduced-motion", "value": "reduce"},
    ]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    logged(driver)
    driver.get(page.as_uri())


def logged(driver: Chrome) -> list[Any]:
    """What the browser has complained about since it was last asked: errors, and what the page's policy forbade."""
    return list(driver.get_log("browser"))  # type: ignore[no-untyped-call]


AXE = Path(__file__).parents[2] / ".venv" / "parts" / "axe-core" / "axe.min.js"

CHECK = """
const done = arguments[0];
axe.run(document, { resultTypes: ["violations"] }).then(({ violations }) => done(
  violations.flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => `${id}: ${html}: ${failureSummary}`))));
"""


def inaccessible(driver: Chrome) -> list[str]:
    """Say what of a page axe-core finds that keeps people with a disability from using it."""
    if not AXE.exists():
        missing("axe-core is not installed: scripts/setup --parts browser")
    driver.execute_script(AXE.read_text(encoding="utf-8"))
    return list(driver.execute_async_script(CHECK))


def downloading(driver: Chrome, folder: Path) -> None:
    """Let what a page saves go into a folder."""
    driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder)})
