"""A headless Chromium, and the pages of made-up runs to look at."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import pytest
from looked_at import LOG, USED, with_load
from made_up import DATABASE_DOWN, QUIET, incident, quiet, recorded, scenario
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from sevdrill.aftermath import finish_run
from sevdrill.lines import Line
from sevdrill.metering import USAGE
from sevdrill.rejudging import review
from sevdrill.reports.manifest import write_manifest

ROOT = Path(__file__).parents[2]
AXE = ROOT / ".browser" / "node_modules" / "axe-core" / "axe.min.js"


def missing(what: str) -> NoReturn:
    """Without a browser there is nothing to test; in CI that is a failure."""
    text = f"{what}; `make browser-tools` installs it"
    if os.environ.get("CI", "").lower() not in ("", "0", "false", "no"):
        pytest.fail(text)
    pytest.skip(text)


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core."""
    if not AXE.exists():
        missing("axe-core is not installed")
    return AXE.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """A headless Chromium, whose files go where the test's go."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        missing("there is no chromium with its chromedriver")
    folder = tmp_path_factory.mktemp("chromium")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(argument)
    options.add_argument(f"--user-data-dir={folder / 'profile'}")
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = Service(driver, env={**os.environ, "TMPDIR": str(folder)})
    chrome = webdriver.Chrome(options=options, service=service)
    try:
        chrome.set_script_timeout(30)
        yield chrome
    finally:
        chrome.quit()


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a drill of every outcome, its third one; each with evidence."""
    folder = tmp_path_factory.mktemp("pages") / "run"
    state = folder.parent / "state"
    down = scenario(DATABASE_DOWN, about="Orders fail until somebody restarts it.")
    drills: dict[str, list[Line]] = {
        "passed": incident(down),
        "failed": incident(down, detected=50.0, mitigated=None, recovered=None),
        "invalid": incident(down, fault_on=False),
        "aborted": [line for line in incident(down) if line.t < 15],
        "quiet": quiet(scenario(QUIET)),
    }
    for number in range(3):
        summaries: list[dict[str, Any]] = []
        for name, lines in drills.items():
            drill = folder / name
            (drill / "evidence").mkdir(parents=True, exist_ok=True)
            (drill / "evidence" / "app.log").write_text(LOG, encoding="utf-8")
            (drill / "evidence" / USAGE).write_text(json.dumps(USED), encoding="utf-8")
            write_manifest(drill / "evidence", [drill / "evidence" / "app.log"])
            recorded(drill, with_load(lines, 0.8))
            began = f"2026-01-0{number + 1}T00:00:00+00:00"
            summaries.append({**review(drill).summary, "drill": f"Drill {name}", "began": began})
        finish_run(folder if number == 2 else folder.parent / f"run-{number}", summaries, state, datetime.now(UTC))
    return folder
