"""The pages in a browser: nothing complains, nothing overflows, the plot is there, and everybody can use them."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

pytestmark = pytest.mark.browser

PAGES = ("index.html", *(f"{name}/report.html" for name in ("passed", "failed", "invalid", "aborted", "quiet")))
SOME = PAGES[:3]
OTHERS = (PAGES[0], PAGES[2], PAGES[4])
WIDTHS = (380, 1400)


def look(browser: webdriver.Chrome, page: Path, width: int = 1400, *, dark: bool = False, media: str = "") -> None:
    """Open a page, and wait until its plot is drawn where it has one."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": [scheme]})
    browser.get_log("browser")
    browser.get(page.as_uri())
    drawn = "const plot = document.getElementById('plot'); return !plot || plot.dataset.drawn === 'yes'"
    WebDriverWait(browser, 30, poll_frequency=0.05).until(lambda b: b.execute_script(drawn))


def labels(browser: webdriver.Chrome) -> set[str]:
    return {each.text for each in browser.find_elements(By.CSS_SELECTOR, "#plot .annotation-text") if each.text}


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_complains_and_nothing_overflows(browser: webdriver.Chrome, run: Path, width: int) -> None:
    for page in (run / name for name in (PAGES if width == 380 else SOME)):
        look(browser, page, width)
        assert browser.get_log("browser") == []
        wide = "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        scroll, client = browser.execute_script(wide)
        assert scroll <= client == width, page


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_no_violation(browser: webdriver.Chrome, run: Path, axe: str, dark: bool) -> None:
    for page in (run / name for name in (OTHERS if dark else SOME)):
        look(browser, page, 380 if dark else 1400, dark=dark)
        browser.execute_script(axe)
        found = browser.execute_async_script("axe.run().then(arguments[0])")
        told = [(v["id"], v["help"], [n["html"] for n in v["nodes"]][:3]) for v in found["violations"]]
        assert told == [], page
        assert len(found["passes"]) > 10


@pytest.mark.parametrize("width", WIDTHS)
def test_the_plot_is_there_with_every_mark(browser: webdriver.Chrome, run: Path, width: int) -> None:
    look(browser, run / "passed" / "report.html", width)
    figure = json.loads(browser.find_element(By.ID, "figure").get_attribute("textContent"))
    wanted = {mark["text"] for mark in figure["marks"] if mark["x"] <= figure["layout"]["xaxis"]["range"][1]}
    assert {"Fault injected", "Users feel it", "Alert fires", "Page delivered", "Mitigated", "Recovered"} <= wanted
    assert wanted <= labels(browser)
    shown = browser.execute_script("return document.getElementById('plot').data.map(trace => trace.name)")
    assert {"error rate of users, %", "p95 of users, ms", "marks", "steps", "alert"} <= set(shown)
    drawn = browser.find_elements(By.CSS_SELECTOR, "#plot .scatterlayer .trace")
    assert len(drawn) == len(figure["data"])
    # Names that lie on one another are no names.
    boxes = [
        each.rect for each in browser.find_elements(By.CSS_SELECTOR, "#plot .annotation-text") if each.text in wanted
    ]
    lefts = sorted(box["x"] for box in boxes)
    assert min(b - a for a, b in itertools.pairwise(lefts)) >= 8


def test_the_plot_is_zoomed_by_its_buttons_and_shows_all_targets(browser: webdriver.Chrome, run: Path) -> None:
    look(browser, run / "failed" / "report.html")

    def axis() -> Any:
        return browser.execute_script("return document.getElementById('plot').layout.xaxis.range")

    first = axis()
    browser.find_element(By.CSS_SELECTOR, "[data-zoom=in]").click()
    WebDriverWait(browser, 10).until(lambda _: axis() != first)
    assert axis()[1] - axis()[0] == pytest.approx((first[1] - first[0]) / 2)
    assert not any(text.startswith("respond within") for text in labels(browser))
    browser.find_element(By.CSS_SELECTOR, "[data-zoom=targets]").click()
    WebDriverWait(browser, 10).until(lambda b: "respond within 15 min, MISSED" in labels(b))
    assert {"detect within 30 s, MISSED", "recover within 90 s, MISSED", "Fault injected"} <= labels(browser)


def test_dark_and_light_and_paper_have_their_own_colours(browser: webdriver.Chrome, run: Path) -> None:
    def colours() -> tuple[str, str]:
        body = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
        plot = browser.execute_script("return document.getElementById('plot').layout.paper_bgcolor")
        return body, plot

    look(browser, run / "passed" / "report.html")
    assert colours() == ("rgb(255, 255, 255)", "#ffffff")
    look(browser, run / "passed" / "report.html", dark=True)
    assert colours() == ("rgb(20, 24, 29)", "#14181d")
    look(browser, run / "passed" / "report.html", dark=True, media="print")
    assert colours() == ("rgb(255, 255, 255)", "#ffffff")
    assert len(browser.print_page()) > 10_000


def test_the_resources_of_each_replica_are_drawn_with_their_gaps(browser: webdriver.Chrome, run: Path) -> None:
    look(browser, run / "failed" / "report.html")
    rows = browser.find_elements(By.XPATH, "//section[h2[@id='resources']]//tbody/tr")
    assert [row.find_element(By.TAG_NAME, "th").text for row in rows] == ["app-1", "db-1"]
    curves = [len(row.find_elements(By.CSS_SELECTOR, "td:nth-child(2) polyline")) for row in rows]
    assert curves == [1, 2]
    assert all(each.size["height"] > 20 for each in browser.find_elements(By.CSS_SELECTOR, "#resources ~ .scroll svg"))


def test_a_keyboard_reaches_everything(browser: webdriver.Chrome, run: Path) -> None:
    look(browser, run / "passed" / "report.html")
    reachable = browser.execute_script(
        "return [...document.querySelectorAll('a, button, [tabindex=\"0\"]')].filter(e => e.tabIndex >= 0).length"
    )
    assert reachable > 10
    scrolls = browser.find_elements(By.CSS_SELECTOR, ".scroll")
    assert {(each.get_attribute("tabindex"), each.get_attribute("role")) for each in scrolls} == {("0", "region")}


def test_without_javascript_the_page_still_tells_everything(run: Path) -> None:
    page = (run / "failed" / "report.html").read_text(encoding="utf-8")
    assert "<noscript>" in page
    assert "default-src 'none'" in page
    assert re.search(r"<script[^>]+src=|<link[^>]+href=\"http|url\(http", page) is None
    assert "What happened" in page
